"""Int8 weights with a scale for each 64 of them, computed in float32: if quantized activations are too coarse.

Small models need it: on sub-models of SmolLM2-135M int8 changes one greedy token in ten, int8-weights one in thirty
(dev/LOG.md). The file is as small as int8's. ONNX Runtime multiplies the scales out once, when it loads, so that
memory and speed are those of float32. MatMulNBits with float32 activations would save memory too, but its 8-bit path
takes 240 ms a token on a model of 89 million parameters, ten times as long.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from exporters.checkpoint_reader import FloatArray
from exporters.matrices import CODE_LIMIT, MICROSOFT, Matrices, Matrix, Rows, largest_to_scale

BLOCK = 64  # 6 % more bytes than a scale a column; 32 gains nothing measurable


class Int8WeightMatrices(Matrices):
    """Casts, scales and reshapes constants; the optimizer folds these nodes away on load."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self._shared: ir.Value | None = None

    @staticmethod
    def can_hold(inputs: int) -> bool:
        """Return whether matrices of so many inputs divide into blocks."""
        return inputs % BLOCK == 0

    def project(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """Multiply by the restored weight."""
        return self._multiply(rows, self._restored(matrix))

    def embed(self, ids: ir.Value, matrix: Matrix, *, shares_head: bool) -> ir.Value:
        """Gather rows of the restored table."""
        table = self._restored(matrix)
        self._shared = table if shares_head else None
        return self.tape.op("Gather", [table, ids])

    def head(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """Multiply by the embedding's rows if the two are tied."""
        return self._multiply(rows, self._restored(matrix) if self._shared is None else self._shared)

    def _restored(self, matrix: Matrix) -> ir.Value:
        """Emit the weight as float32, (outputs, inputs)."""
        weight = matrix.read()
        scales = block_scales(weight)
        codes = self.constant(matrix.name, block_codes(weight, scales))
        scale = self.constant(f"{matrix.name}.scale", scales[:, :, None])
        shape = self.constant(f"{matrix.name}.shape", np.array([matrix.outputs, matrix.inputs], np.int64))
        values = self.tape.op("Mul", [self.tape.op("Cast", [codes], {"to": ir.DataType.FLOAT}), scale])
        return self.tape.op("Reshape", [values, shape])

    def _multiply(self, rows: Rows, weight: ir.Value) -> ir.Value:
        return self.tape.op("FusedMatMul", [rows.values, weight], {"transB": 1}, domain=MICROSOFT)


def block_scales(weight: FloatArray) -> FloatArray:
    """Return the scale of each block of `weight` (outputs, inputs), (outputs, blocks)."""
    return largest_to_scale(np.abs(weight.reshape(len(weight), -1, BLOCK)).max(axis=2))


def block_codes(weight: FloatArray, scales: FloatArray) -> NDArray[np.int8]:
    """Return codes (outputs, blocks, BLOCK), so that codes · scales ≈ weight."""
    blocks = weight.reshape(len(weight), -1, BLOCK)
    codes: NDArray[np.int8] = np.rint(blocks / scales[:, :, None]).clip(-CODE_LIMIT, CODE_LIMIT).astype(np.int8)
    return codes

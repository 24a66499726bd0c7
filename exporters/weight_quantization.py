"""Int8 weights with a scale for each 64 of them, activations in float32: where quantized activations are too coarse.

Small models need it: on a sub-model of SmolLM2-135M the row-wise product changes one greedy token in ten, this one in
thirty (docs/LOG.md). ONNX Runtime's MatMulNBits reads prompts more slowly, and decodes as fast: that is bound by bytes.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from exporters.checkpoint import FloatArray
from exporters.matrices import CODE_LIMIT, MICROSOFT, Matrices, Matrix, Rows, largest_to_scale

BLOCK = 64  # 1.6 % more bytes than a scale a column; 32 gains nothing measurable
ZERO_POINT = 128  # what MatMulNBits subtracts from 8-bit codes where no zero points are given
FLOAT32_ACTIVATIONS = 1  # accuracy_level; 4 would quantize them by blocks, which loses four greedy tokens in a hundred


class Int8WeightMatrices(Matrices):
    """MatMulNBits with 8 bits."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self._zero_point = self.constant("zero_point", np.array(ZERO_POINT, np.float32))
        self._last_axis = self.constant("last_axis", np.array([-1], np.int64))
        self._shared: tuple[ir.Value, ir.Value] | None = None

    @staticmethod
    def can_hold(inputs: int) -> bool:
        """Whether matrices of so many inputs divide into blocks."""
        return inputs % BLOCK == 0

    def prepare(self, x: ir.Value) -> Rows:
        """Nothing to do."""
        return Rows(values=x)

    def project(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """One node."""
        return self._multiply(rows, matrix, *self._store(matrix))

    def embed(self, ids: ir.Value, matrix: Matrix, *, shares_head: bool) -> ir.Value:
        """Gather codes and scales by token, and multiply them out."""
        codes, scales = self._store(matrix)
        self._shared = (codes, scales) if shares_head else None
        blocks = self.tape.op("Cast", [self.tape.op("Gather", [codes, ids])], {"to": 1})  # (…, blocks, BLOCK)
        scale = self.tape.op("Unsqueeze", [self.tape.op("Gather", [scales, ids]), self._last_axis])
        values = self.tape.op("Mul", [self.tape.op("Sub", [blocks, self._zero_point]), scale])
        shape = self.constant("embedding_shape", np.array([0, 0, matrix.inputs], np.int64))
        return self.tape.op("Reshape", [values, shape])

    def head(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """Multiply by the embedding's codes where the two are tied."""
        return self._multiply(rows, matrix, *self._shared) if self._shared else self.project(rows, matrix)

    def _store(self, matrix: Matrix) -> tuple[ir.Value, ir.Value]:
        scales = block_scales(matrix.read())
        codes = self.lazy(
            matrix.name,
            ir.DataType.UINT8,
            (matrix.outputs, matrix.inputs // BLOCK, BLOCK),
            lambda: block_codes(matrix.read(), scales),
        )
        return codes, self.constant(f"{matrix.name}.scale", scales)

    def _multiply(self, rows: Rows, matrix: Matrix, codes: ir.Value, scales: ir.Value) -> ir.Value:
        attributes = {
            "K": matrix.inputs,
            "N": matrix.outputs,
            "bits": 8,
            "block_size": BLOCK,
            "accuracy_level": FLOAT32_ACTIVATIONS,
        }
        return self.tape.op("MatMulNBits", [rows.values, codes, scales], attributes, domain=MICROSOFT)


def block_scales(weight: FloatArray) -> FloatArray:
    """(outputs, blocks): the largest magnitude of each block of `weight` (outputs, inputs) over 127, and never 0."""
    return largest_to_scale(np.abs(weight.reshape(len(weight), -1, BLOCK)).max(axis=2))


def block_codes(weight: FloatArray, scales: FloatArray) -> NDArray[np.uint8]:
    """(outputs, blocks, BLOCK): codes with (codes − 128) · scales ≈ weight."""
    blocks = weight.reshape(len(weight), -1, BLOCK)
    codes = np.rint(blocks / scales[:, :, None]).clip(-CODE_LIMIT, CODE_LIMIT) + ZERO_POINT
    unsigned: NDArray[np.uint8] = codes.astype(np.uint8)
    return unsigned

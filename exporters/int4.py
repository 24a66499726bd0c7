"""Int4 weights with a scale and a zero point for each 32 of them: the smallest file, at the price of quality.

On sub-models of less than 500 million parameters four bits change every tenth token or more. So this precision has
wider parity limits (`exporters.export_settings`). Embedding and head stay in 8 bits: a head in 4 repeats itself. The
products are MatMulNBits, which quantizes activations by block (accuracy_level 4). WebGPU and CUDA have it too.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from exporters.checkpoint_reader import FloatArray
from exporters.matrices import CODE_LIMIT, MICROSOFT, Matrices, Matrix, Rows, largest_to_scale

BLOCK = 32  # 128 is a sixth smaller and a fifth faster, and loses more
ACCURACY_LEVEL = 4  # int8 activations; float32 ones take several times as long


class Int4Matrices(Matrices):
    """MatMulNBits throughout; embedding and head are the same operator in 8 bits."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self._shared: tuple[ir.Value, ir.Value] | None = None

    @staticmethod
    def can_hold(inputs: int) -> bool:
        """Return whether matrices of so many inputs divide into blocks."""
        return inputs % BLOCK == 0

    def project(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """Multiply by 4-bit codes."""
        weight = matrix.read()
        scales, zeros = int4_grid(weight)
        codes = self.constant(matrix.name, int4_codes(weight, scales, zeros))
        grid = [self.constant(f"{matrix.name}.scale", scales), self.constant(f"{matrix.name}.zero", packed(zeros))]
        return self._multiply(rows, matrix, codes, grid, bits=4)

    def embed(self, ids: ir.Value, matrix: Matrix, *, shares_head: bool) -> ir.Value:
        """Gather rows of 8-bit codes and scale them."""
        codes, scales = self._store8(matrix)
        self._shared = (codes, scales) if shares_head else None
        rows = self.tape.op("Cast", [self.tape.op("Gather", [codes, ids])], {"to": ir.DataType.FLOAT})
        middle = self.constant("embedding_middle", np.array(128, np.float32))
        last = self.constant("embedding_axis", np.array([-1], np.int64))
        scale = self.tape.op("Unsqueeze", [self.tape.op("Gather", [scales, ids]), last])
        values = self.tape.op("Mul", [self.tape.op("Sub", [rows, middle]), scale])
        shape = self.constant("embedding_shape", np.array([0, 0, matrix.inputs], np.int64))
        return self.tape.op("Reshape", [values, shape])

    def head(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """Multiply by 8-bit codes; by the embedding's if the two are tied."""
        codes, scales = self._shared or self._store8(matrix)
        return self._multiply(rows, matrix, codes, [scales], bits=8)

    def _store8(self, matrix: Matrix) -> tuple[ir.Value, ir.Value]:
        weight = matrix.read()
        scales = largest_to_scale(np.abs(_blocks(weight)).max(axis=2))
        codes = self.constant(matrix.name, int8_codes(weight, scales))
        return codes, self.constant(f"{matrix.name}.scale", scales)

    def _multiply(self, rows: Rows, matrix: Matrix, codes: ir.Value, grid: list[ir.Value], *, bits: int) -> ir.Value:
        attributes = {
            "K": matrix.inputs,
            "N": matrix.outputs,
            "bits": bits,
            "block_size": BLOCK,
            "accuracy_level": ACCURACY_LEVEL,
        }
        return self.tape.op("MatMulNBits", [rows.values, codes, *grid], attributes, domain=MICROSOFT)


def int4_grid(weight: FloatArray) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Return scales and zero points (outputs, blocks). A block's 16 codes reach from its least weight to its largest.

    The range always includes 0.
    """
    blocks = _blocks(weight)
    low, high = np.minimum(blocks.min(axis=2), 0), np.maximum(blocks.max(axis=2), 0)
    scales = np.maximum((high - low) / np.float32(15), np.finfo(np.float32).tiny).astype(np.float32)
    zeros: NDArray[np.uint8] = np.rint(-low / scales).clip(0, 15).astype(np.uint8)
    return scales, zeros


def int4_codes(weight: FloatArray, scales: FloatArray, zeros: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return codes (outputs, blocks, BLOCK / 2), two a byte, so that (code − zero) · scale ≈ weight."""
    return packed((np.rint(_blocks(weight) / scales[:, :, None]) + zeros[:, :, None]).clip(0, 15).astype(np.uint8))


def packed(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pack two codes of the last axis into each byte, the first into the low half; an odd last one is alone."""
    if codes.shape[-1] % 2:
        codes = np.concatenate([codes, np.zeros_like(codes[..., :1])], axis=-1)
    pairs = codes[..., 0::2] | np.left_shift(codes[..., 1::2], 4)
    return pairs.astype(np.uint8)


def int8_codes(weight: FloatArray, scales: FloatArray) -> NDArray[np.uint8]:
    """Return codes (outputs, blocks, BLOCK), so that (code − 128) · scale ≈ weight."""
    codes = np.rint(_blocks(weight) / scales[:, :, None]).clip(-CODE_LIMIT, CODE_LIMIT)
    shifted: NDArray[np.uint8] = (codes + 128).astype(np.uint8)
    return shifted


def _blocks(weight: FloatArray) -> FloatArray:
    return weight.reshape(len(weight), -1, BLOCK)

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from exporters.int4 import BLOCK, Int4Matrices, int4_codes, int4_grid, int8_codes
from exporters.matrices import Matrix, Rows
from testbed.graphs import FloatArray, matrix_of, run


def naive_int4(weight: FloatArray) -> FloatArray:
    """One weight at a time: quantize and restore."""
    restored = np.zeros_like(weight)
    for i, row in enumerate(weight):
        for start in range(0, len(row), BLOCK):
            block = row[start : start + BLOCK]
            low, high = min(0, *block), max(0, *block)
            scale = np.float32(high - low) / np.float32(15)
            zero = round(float(-low / scale)) if scale else 0
            for j, value in enumerate(block):
                code = min(max(round(float(value / scale)) + zero, 0), 15) if scale else zero
                restored[i, start + j] = (code - zero) * scale
    return restored


def test_a_product_is_that_of_the_restored_weights() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((24, 3 * BLOCK)).astype(np.float32)
    x = rng.standard_normal((1, 5, 3 * BLOCK)).astype(np.float32)
    found = run(Int4Matrices, lambda matrices, value: matrices.project(matrices.prepare(value), matrix_of(weight)), x)
    expected = x[0] @ naive_int4(weight).T
    assert np.abs(found[0] - expected).max() < 0.02 * np.abs(expected).max()  # activations are quantized too


def test_the_codes_restore_the_weights() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((6, 2 * BLOCK)).astype(np.float32)
    weight[2] = 0
    weight[3] = np.abs(weight[3])
    weight[4] = -1 - np.abs(weight[4])  # a range without 0 is widened to it
    weight[5, :BLOCK] = 0
    weight[5, :2] = -1.5, 13.5  # both are rounded up to even: one code more than there are
    scales, zeros = int4_grid(weight)
    packed = int4_codes(weight, scales, zeros)
    assert packed.shape == (6, 2, BLOCK // 2)
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(6, 2, BLOCK).astype(np.float32)
    codes -= zeros[:, :, None]
    assert np.allclose((codes * scales[:, :, None]).reshape(6, -1), naive_int4(weight), atol=1e-6)


@pytest.mark.parametrize("is_tied", [True, False])
def test_embedding_and_head_keep_eight_bits(is_tied: bool) -> None:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((40, 2 * BLOCK)).astype(np.float32)
    other = table if is_tied else table[::-1]
    ids = np.array([[3, 39, 0, 7]])

    def emit(matrices: Int4Matrices, value: ir.Value) -> ir.Value:
        rows = matrices.embed(value, matrix_of(table), shares_head=is_tied)
        before = len(matrices.tape.initializers)
        logits = matrices.head(Rows(values=rows), Matrix(name="head", outputs=40, inputs=2 * BLOCK, read=lambda: other))
        assert (len(matrices.tape.initializers) == before) is is_tied, "one matrix takes one place in the file"
        return logits

    found = run(Int4Matrices, emit, ids)[0]
    expected = table[ids[0]] @ other.T
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()
    assert (found.argmax(1) == expected.argmax(1)).all()


def test_eight_bit_codes_are_centred() -> None:
    weight = np.array([[-1.0, 0.0, 1.0] + [0.5] * (BLOCK - 3)], np.float32)
    codes = int8_codes(weight, np.array([[1 / 127]], np.float32))
    assert codes.reshape(-1)[:4].tolist() == [1, 128, 255, 192]

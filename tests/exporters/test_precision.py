from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from contract.errors import ExportError
from exporters.checkpoint_reader import Checkpoint
from exporters.matrices import Matrices
from exporters.precision import (
    EVEN_LIMIT,
    Int8Matrices,
    Precision,
    can_hold,
    column_codes,
    column_scales,
    parse_precision,
)
from testbed.graphs import matrix_of, run

FloatArray = NDArray[np.float32]


def naive_int8_product(x: FloatArray, weight: FloatArray) -> FloatArray:
    """One number at a time, in float64: quantize a row of x and a row of weight by their largest magnitudes."""
    result = np.zeros((len(x), len(weight)))
    for i, row in enumerate(x.astype(np.float64)):
        largest = max(abs(value) for value in row)
        codes = [round(127 * value / largest) if largest else 0 for value in row]
        for j, column in enumerate(weight.astype(np.float64)):
            scale = max(abs(value) for value in column) / 127
            column_sum = sum(
                code * (round(value / scale) if scale else 0) for code, value in zip(codes, column, strict=True)
            )
            result[i, j] = column_sum * scale * largest / 127
    return result.astype(np.float32)


def test_projection_is_the_row_wise_formula() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(24, 48)).astype(np.float32)
    weight[3] *= 1000
    weight[5] = 0
    x = rng.normal(size=(1, 6, 48)).astype(np.float32)
    x[0, 0] *= 2000  # the massive activations of a first token
    x[0, 4] = 0  # an untrained token's row: no NaN
    found = run(Int8Matrices, lambda m, v: m.project(m.prepare(v), matrix_of(weight)), x)[0]
    np.testing.assert_allclose(found, naive_int8_product(x[0], weight), rtol=1e-5, atol=1e-5)
    assert (found[4] == 0).all()
    exact = x[0] @ weight.T
    error = np.linalg.norm(found - exact, axis=1) / np.maximum(np.linalg.norm(exact, axis=1), 1e-9)
    assert error.max() < 0.02  # in each row by itself, so a massive one costs the others nothing


def test_even_rows_have_one_step_for_all() -> None:
    rng = np.random.default_rng(2)
    weight, bias = rng.normal(size=(24, 64)).astype(np.float32), rng.normal(size=24).astype(np.float32)
    x = rng.normal(size=(1, 6, 64)).astype(np.float32)
    x[0, 2, 7] = 2 * EVEN_LIMIT  # beyond the codes: cut off, where a scale a row would cost the whole row

    def project(matrices: Matrices, rows: ir.Value) -> ir.Value:
        return matrices.project_with_bias(
            matrices.prepare_even(rows), matrix_of(weight), matrices.constant("bias", bias)
        )

    step = np.float32(EVEN_LIMIT / 127)
    codes = np.clip(np.rint(x[0] / step), -128, 127)
    scales = column_scales(weight)
    expected = codes @ column_codes(weight, scales) * step * scales + bias
    np.testing.assert_allclose(run(Int8Matrices, project, x)[0], expected, rtol=1e-5, atol=1e-5)


def test_an_embedding_is_gathered_by_rows_of_the_heads_codes() -> None:
    """A column of the head's codes is the same numbers, but each of them lies in another page."""
    rng = np.random.default_rng(1)
    table = rng.normal(size=(30, 16)).astype(np.float32)
    table[5] = 0
    ids = np.array([[3, 29, 0, 5, 3]], np.int64)
    found = run(Int8Matrices, lambda m, v: m.embed(v, matrix_of(table), shares_head=True), ids)
    scales = column_scales(table)
    codes = column_codes(table, scales)  # (hidden, vocabulary)
    np.testing.assert_array_equal(found[0], codes[:, ids[0]].T.astype(np.float32) * scales[ids[0], None])
    np.testing.assert_allclose(found[0], table[ids[0]], atol=np.abs(table).max() / 127 / 2 + 1e-6)
    tape = Tape()
    Int8Matrices(tape).embed(ir.val("ids", ir.DataType.INT64, [1, 4]), matrix_of(table), shares_head=True)
    assert [node.op_type for node in tape.nodes] == ["Gather", "Cast", "Gather", "Unsqueeze", "Mul"]
    assert all(node.attributes.get_int("axis", 0) == 0 for node in tape.nodes)


@given(arrays(np.float32, (5, 7), elements=st.floats(-1e4, 1e4, width=32)))
def test_codes_are_within_half_a_step(weight: FloatArray) -> None:
    scales = column_scales(weight)
    codes = column_codes(weight, scales)
    assert codes.shape == (7, 5)
    assert codes.dtype == np.int8
    assert codes.min() >= -127
    error = np.abs(codes.T.astype(np.float64) * scales[:, None] - weight)
    assert (error <= 0.5001 * scales[:, None]).all()


def test_rows_of_tiny_weights_have_as_many_codes_as_others() -> None:
    weight = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    tiny = weight * np.float32(2**-40)
    np.testing.assert_array_equal(column_codes(tiny, column_scales(tiny)), column_codes(weight, column_scales(weight)))


@pytest.mark.parametrize("odd", ["hidden_size", "ffn_width", "heads"])
def test_blocks_have_to_divide_the_inputs_of_every_matrix(model_folder: Callable[[str], Path], odd: str) -> None:
    shape = Checkpoint(model_folder("llama-tied")).shape  # of heads of 16
    assert all(can_hold(precision, shape) for precision in Precision)
    change: dict[str, Any] = {odd: 6 if odd == "heads" else 96}
    assert {one for one in Precision if not can_hold(one, replace(shape, **change))} == {Precision.INT8_WEIGHTS}


def test_every_precision_has_a_name_and_others_are_refused() -> None:
    assert [parse_precision(str(precision)) for precision in Precision] == list(Precision)
    for name in ("int3", "fp8", "", "INT8"):
        with pytest.raises(ExportError, match="choose one of: fp32, fp16, int8"):
            parse_precision(name)

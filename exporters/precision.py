"""The precisions of a decode graph: how its matrices are stored, and which nodes multiply by them.

Each precision is a class. Another one is added to `Precision`, `CANDIDATES` and `MATRICES`, and to `VARIANT_FILES` if
it can lie beside onnx/model.onnx. `exporters.graph` makes the graph around the matrices, which is the same for all.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from contract.errors import ExportError
from exporters.checkpoint_reader import DecoderShape, FloatArray
from exporters.matrices import CODE_LIMIT, MICROSOFT, Matrices, Matrix, Rows, largest_to_scale


class Precision(StrEnum):
    """Names of `--quantize`."""

    FP32 = "fp32"
    FP16 = "fp16"  # weights, activations and KV cache: for GPU providers; a CPU computes most of it in float32
    INT8 = "int8"  # activations too: the fastest
    INT8_WEIGHTS = "int8-weights"  # activations stay float32; int8 falls back to it if its parity check fails


# Tried in this order until one passes the parity check.
CANDIDATES: dict[Precision, tuple[Precision, ...]] = {
    Precision.FP16: (Precision.FP16,),
    Precision.INT8: (Precision.INT8, Precision.INT8_WEIGHTS),
    Precision.INT8_WEIGHTS: (Precision.INT8_WEIGHTS,),
}

# The name of a precision's file beside onnx/model.onnx, as transformers.js looks for it by its `dtype`.
VARIANT_FILES: dict[Precision, str] = {
    Precision.FP16: "onnx/model_fp16.onnx",  # dtype "fp16"
    Precision.INT8: "onnx/model_quantized.onnx",  # "q8", what it takes in a browser by default
    Precision.INT8_WEIGHTS: "onnx/model_quantized.onnx",
}


def parse_precision(name: str) -> Precision:
    """Return the precision of this name; raise ExportError naming the known ones if there is none."""
    try:
        return Precision(name)
    except ValueError as error:
        known = ", ".join(Precision)
        raise ExportError(f"The precision {name!r} can't be exported; choose one of: {known}.") from error


class Fp32Matrices(Matrices):
    """Float32 throughout: the reference that the parity check measures."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self._shared: ir.Value | None = None

    def project(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """MatMul with the transposed weight, which ONNX Runtime packs on load."""
        weight = self.lazy(
            matrix.name,
            self.number,
            (matrix.inputs, matrix.outputs),
            lambda: np.ascontiguousarray(self._stored(matrix).T),
        )
        return self.tape.op("MatMul", [rows.values, weight])

    def embed(self, ids: ir.Value, matrix: Matrix, *, shares_head: bool) -> ir.Value:
        """Gather rows."""
        table = self.lazy(matrix.name, self.number, (matrix.outputs, matrix.inputs), lambda: self._stored(matrix))
        self._shared = table if shares_head else None
        return self.tape.op("Gather", [table, ids])

    def head(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """Multiply by the embedding's rows if the two are tied, so that the matrix is stored once."""
        if self._shared is None:
            return self.project(rows, matrix)
        return self.tape.op("FusedMatMul", [rows.values, self._shared], {"transB": 1}, domain=MICROSOFT)

    def _stored(self, matrix: Matrix) -> NDArray[np.floating[Any]]:
        return matrix.read().astype(self.number.numpy(), copy=False)


class Fp16Matrices(Fp32Matrices):
    """Float16 throughout, except the logits: half the bytes, and fast on GPUs."""

    number = ir.DataType.FLOAT16


# The codes of even rows end here, in multiples of their root mean square. A rotated row's values are nearly normally
# distributed: of 896 the largest is 3.4 at the median, and beyond 4 in one row of 18 (dev/LOG.md has the losses).
EVEN_LIMIT = 4.0


class Int8Matrices(Matrices):
    """Int8 weights with a scale a column, uint8 activations with a scale a row; even rows need none.

    With x a row of activations, a = max|x| and W ≈ C·diag(s), C int8:  x @ W ≈ a/127 · ((q − 128) @ C) · s,
    q = round(127·x/a) + 128. Each row has a scale, since the first token of a prompt has massive activations: with one
    scale for all rows they would cost the others their resolution (+1.1 % loss against +6.8 %). Codes are unsigned with
    zero point 128, since signed activations miss the fast kernels and are 15 to 20 times slower.
    """

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self._step = self.constant("activation_step", np.array(1 / CODE_LIMIT, np.float32))
        self._even_step = self.constant("even_step", np.array(EVEN_LIMIT / CODE_LIMIT, np.float32))
        self._zero_point = self.constant("activation_zero_point", np.array(128, np.uint8))
        self._last_axis = self.constant("last_axis", np.array([-1], np.int64))

    def prepare(self, x: ir.Value) -> Rows:
        """Quantize each row. A row of zeros divides 0 by 0; the code that this gives is multiplied by the scale 0."""
        scale = self.tape.op("ReduceMax", [self.tape.op("Abs", [x]), self._last_axis], {"keepdims": 1})
        unit = self.tape.op("Div", [x, scale])  # within −1 … 1
        return Rows(values=self._quantized(unit, self._step), step=self._step, scale=scale)

    def prepare_even(self, x: ir.Value) -> Rows:
        """Quantize all rows with one constant step: no maximum, no division, and no scale behind the product."""
        return Rows(values=self._quantized(x, self._even_step), step=self._even_step)

    def project(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """Multiply in integers, then by the scales of columns and, if rows have scales, of rows."""
        return self._multiply(rows, *self._store(matrix))

    def project_with_bias(self, rows: Rows, matrix: Matrix, bias: ir.Value) -> ir.Value:
        """Use the bias of the product's operator, if no row scale is applied after it."""
        if rows.scale is not None:
            return super().project_with_bias(rows, matrix, bias)
        return self._multiply(rows, *self._store(matrix), bias)

    def embed(self, ids: ir.Value, matrix: Matrix, *, shares_head: bool) -> ir.Value:
        """Gather rows of codes (vocabulary, hidden), and scale them; the head has codes of its own.

        A row lies together in memory. The head's codes are (hidden, vocabulary), where a token is a column: gathering
        columns takes 45 µs a token more. In the rotated basis the two are different matrices anyway.
        """
        codes, scales = _coded(matrix)
        table = self.constant(f"{matrix.name}.rows", np.ascontiguousarray(codes.T))
        row_scales = self.constant(f"{matrix.name}.row_scale", scales)
        rows = self.tape.op("Cast", [self.tape.op("Gather", [table, ids])], {"to": ir.DataType.FLOAT})
        scale = self.tape.op("Unsqueeze", [self.tape.op("Gather", [row_scales, ids]), self._last_axis])
        return self.tape.op("Mul", [rows, scale])

    def head(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """As `project`."""
        return self.project(rows, matrix)

    def _store(self, matrix: Matrix) -> tuple[ir.Value, ir.Value]:
        codes, scales = _coded(matrix)
        return self.constant(matrix.name, codes), self.constant(f"{matrix.name}.scale", scales)

    def _quantized(self, x: ir.Value, step: ir.Value) -> ir.Value:
        return self.tape.op("QuantizeLinear", [x, step, self._zero_point])

    def _multiply(self, rows: Rows, codes: ir.Value, scales: ir.Value, bias: ir.Value | None = None) -> ir.Value:
        inputs = [rows.values, codes, rows.step, scales, self._zero_point, *([] if bias is None else [None, bias])]
        product = self.tape.op("MatMulIntegerToFloat", inputs, domain=MICROSOFT)
        return product if rows.scale is None else self.tape.op("Mul", [product, rows.scale])


def _coded(matrix: Matrix) -> tuple[NDArray[np.int8], FloatArray]:
    """Return a matrix's codes (inputs, outputs), and a scale for each output."""
    weight = matrix.read()
    scales = column_scales(weight)
    return column_codes(weight, scales), scales


def column_scales(weight: FloatArray) -> FloatArray:
    """Return a scale for each output of `weight` (outputs, inputs): its largest magnitude over 127, and never 0."""
    return largest_to_scale(np.abs(weight).max(axis=1))


def column_codes(weight: FloatArray, scales: FloatArray) -> NDArray[np.int8]:
    """Return int8 codes (inputs, outputs) of `weight` (outputs, inputs), so that codes · scales ≈ weight.T."""
    codes = np.rint(weight / scales[:, None]).clip(-CODE_LIMIT, CODE_LIMIT).astype(np.int8)
    return np.ascontiguousarray(codes.T)


BLOCK = 64  # weights with one scale: 6 % more bytes than a scale a column; 32 gains nothing measurable


class Int8WeightMatrices(Matrices):
    """Int8 weights with a scale for each 64 of them, computed in float32: if quantized activations are too coarse.

    Small models need it: on sub-models of SmolLM2-135M int8 changes one greedy token in ten, int8-weights one in thirty
    (dev/LOG.md). The optimizer folds the casts and scales away on load, so that memory and speed are those of float32.
    """

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape)
        self._shared: ir.Value | None = None

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


MATRICES: dict[Precision, type[Matrices]] = {
    Precision.FP32: Fp32Matrices,
    Precision.FP16: Fp16Matrices,
    Precision.INT8: Int8Matrices,
    Precision.INT8_WEIGHTS: Int8WeightMatrices,
}


def can_hold(precision: Precision, shape: DecoderShape) -> bool:
    """Return whether every matrix of a model of this shape can be stored in a precision: blocks have to divide it."""
    inputs = (shape.hidden_size, shape.ffn_width, shape.heads * shape.head_dim)
    return precision is not Precision.INT8_WEIGHTS or all(one % BLOCK == 0 for one in inputs)

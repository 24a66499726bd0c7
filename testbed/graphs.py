"""Graphs of one input and what a precision's matrices make of it, run in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from contract.session_config import session_config
from exporters.matrices import Matrices, Matrix

FloatArray = NDArray[np.float32]
M = TypeVar("M", bound=Matrices)


def model_of(kind: type[M], emit: Callable[[M, ir.Value], ir.Value], x: NDArray[np.generic]) -> ir.Model:
    """A model with the input "x", shaped as `x`, and as output the three-dimensional one that `emit` makes of it."""
    tape = Tape()
    value = ir.val("x", ir.DataType.from_numpy(x.dtype), list(x.shape))
    output = emit(kind(tape), value)
    output.dtype, output.shape = ir.DataType.FLOAT, ir.Shape([None] * 3)
    graph = ir.Graph(
        [value],
        [output],
        nodes=tape.nodes,
        initializers=tape.initializers,
        opset_imports={"": 21, "com.microsoft": 1},
        name="matrices",
    )
    return ir.Model(graph, ir_version=10)


def run(kind: type[M], emit: Callable[[M, ir.Value], ir.Value], x: NDArray[np.generic]) -> FloatArray:
    """The output of that model."""
    options = ort.SessionOptions()
    for name, value in session_config(ort.__version__).items():
        options.add_session_config_entry(name, value)
    model = ir.to_proto(model_of(kind, emit, x)).SerializeToString()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    result: FloatArray = session.run(None, {"x": x})[0]
    return result


def matrix_of(weight: FloatArray) -> Matrix:
    """A matrix that holds `weight` (outputs, inputs)."""
    return Matrix(name="weight", outputs=weight.shape[0], inputs=weight.shape[1], read=lambda: weight)

"""What a precision has to provide: how a projection's weight is stored, and which nodes multiply by it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from exporters.checkpoint_reader import FloatArray

MICROSOFT = "com.microsoft"
CODE_LIMIT = 127  # int8 codes are −127 … 127: symmetric, so that a zero stays a zero


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A projection's weight, read only when it is needed: float32 of shape (outputs, inputs)."""

    name: str
    outputs: int
    inputs: int
    read: Callable[[], FloatArray]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Activations ready to be multiplied: shared by all projections of the same input."""

    values: ir.Value  # (batch, sequence, inputs)
    step: ir.Value | None = None  # of quantized values: a scalar
    scale: ir.Value | None = None  # (batch, sequence, 1), if each row has a scale too


class Matrices(ABC):
    """Emits the nodes that depend on the precision onto a tape. One instance a graph."""

    number = ir.DataType.FLOAT  # of activations, gains, rotary tables and the KV cache

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def prepare(self, x: ir.Value) -> Rows:
        """Make float activations ready for `project`: unchanged, unless a precision quantizes them here."""
        return Rows(values=x)

    def prepare_even(self, x: ir.Value) -> Rows:
        """As `prepare`, for rows without outliers whose root mean square is 1: outputs of a norm in a rotated basis."""
        return self.prepare(x)

    @abstractmethod
    def project(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """Emit `x @ matrix.T`; the result is of the type `number`."""

    def project_with_bias(self, rows: Rows, matrix: Matrix, bias: ir.Value) -> ir.Value:
        """Emit `x @ matrix.T + bias`; bias is (outputs,)."""
        return self.tape.op("Add", [self.project(rows, matrix), bias])

    @abstractmethod
    def embed(self, ids: ir.Value, matrix: Matrix, *, shares_head: bool) -> ir.Value:
        """Emit rows of `matrix` (vocabulary, hidden) by token id. `shares_head`: `head` will get the same matrix."""

    @abstractmethod
    def head(self, rows: Rows, matrix: Matrix) -> ir.Value:
        """As `project`, for the output head."""

    def constant(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        """Add an initializer that is in memory already."""
        return self.tape.initializer(ir.tensor(array, name=name))

    def numbers(self, name: str, array: FloatArray) -> ir.Value:
        """Add an initializer of the type that the activations have."""
        return self.constant(name, array.astype(self.number.numpy()))

    def lazy(
        self, name: str, dtype: ir.DataType, shape: tuple[int, ...], make: Callable[[], NDArray[np.generic]]
    ) -> ir.Value:
        """Add an initializer that is made while the file is written, so that one tensor at a time is in memory."""
        tensor = ir.LazyTensor(lambda: ir.tensor(make(), name=name), dtype, ir.Shape(shape), name=name)
        return self.tape.initializer(tensor)


def largest_to_scale(largest: FloatArray) -> FloatArray:
    """Return scales by which magnitudes up to `largest` become codes up to 127; a scale is never 0."""
    scales: FloatArray = np.maximum(largest / np.float32(CODE_LIMIT), np.finfo(np.float32).tiny)
    return scales

"""Statistics of a matrix's inputs on calibration text: sums over tokens, gathered batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from builder.pruning.channels import gram_matrix
from contract.errors import BuildError

Tensor = torch.Tensor


@dataclass(frozen=True, kw_only=True)
class InputStatistics:
    """Sums over `tokens` calibration tokens x_t. `squares`: (inputs,); `gram`: (inputs, inputs); both float32."""

    tokens: int
    squares: Tensor  # Σ_t x_tj²
    gram: Tensor | None = None  # Σ_t x_t x_tᵀ, for methods that ask for it

    def require_gram(self) -> Tensor:
        """Return the Gram matrix; raise BuildError if it was not gathered."""
        if self.gram is None:
            raise BuildError("This method needs the Gram matrix of the inputs, which was not gathered.")
        return self.gram


class StatisticsCollector:
    """Adds up the statistics of one place in a model. `add` takes (tokens, inputs) in any float type.

    Gram matrices are multiplied in float32: products in bfloat16 are not positive definite once a few tokens dominate,
    and the papers weigh no token.
    """

    def __init__(self, *, with_gram: bool, chunk_tokens: int = 4096) -> None:
        self._with_gram = with_gram
        self._chunk_tokens = chunk_tokens
        self._tokens = 0
        self._squares: Tensor | None = None
        self._gram: Tensor | None = None
        self._waiting: list[Tensor] = []  # tokens whose products are yet to be added: few large products are fastest

    def add(self, inputs: Tensor) -> None:
        """Add the inputs of some tokens."""
        rows = inputs.float()
        squares = rows.square().sum(dim=0, dtype=torch.float64)
        self._squares = squares if self._squares is None else self._squares + squares
        self._tokens += len(rows)
        if self._with_gram:
            self._waiting.append(rows)
            if sum(map(len, self._waiting)) >= self._chunk_tokens:
                self._multiply()

    def finish(self) -> InputStatistics:
        """Return the sums; raise BuildError if no token was added."""
        if self._squares is None:
            raise BuildError("There is no calibration token; give more text to calibrate on.")
        if self._waiting:
            self._multiply()
        return InputStatistics(tokens=self._tokens, squares=self._squares.float(), gram=self._gram)

    def _multiply(self) -> None:
        product = gram_matrix(torch.cat(self._waiting))
        self._gram = product if self._gram is None else self._gram.add_(product)
        self._waiting.clear()

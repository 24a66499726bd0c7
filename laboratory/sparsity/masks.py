"""Which weights of a matrix stay: scores and selections, pure functions on matrices.

Masks are bool, (outputs, inputs), true where a weight stays. Weights compete within their output row alone, so that
every row has the same number of zeros. Wanda found this best for language models (Sun et al., A Simple and Effective
Pruning Approach for Large Language Models, 2023, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from contract.errors import BuildError

Tensor = torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one matrix is to become."""

    sparsity: float  # share of each row that is zero

    def __post_init__(self) -> None:
        if not 0.0 <= self.sparsity < 1.0:
            raise BuildError(
                f"A sparsity of {self.sparsity:g} is out of range; give a share of zeros from 0 to below 1."
            )

    def zeros_before(self, column: int) -> int:
        """Return how many of a row's first `column` weights are zero, if a row is pruned block by block."""
        return int(self.sparsity * column + 0.5)


def magnitude_scores(weight: Tensor) -> Tensor:
    """Return |W_ij| (Han et al., Learning both Weights and Connections, 2015); both are (outputs, inputs)."""
    return weight.float().abs()


def wanda_scores(weight: Tensor, input_squares: Tensor) -> Tensor:
    """Return |W_ij| · ‖X_j‖₂ (Sun et al., Wanda, 2023, equation 1).

    weight: (outputs, inputs); input_squares: (inputs,), Σ_t x_tj² over calibration tokens; returns (outputs, inputs).
    """
    return weight.float().abs() * input_squares.float().sqrt()


def choose_kept(scores: Tensor, target: Target) -> Tensor:
    """Return the mask that keeps the highest scores of each row; scores: (outputs, inputs)."""
    return keep_highest(scores, target.zeros_before(scores.shape[1]))


def keep_highest(scores: Tensor, zeros: int) -> Tensor:
    """Keep all but the `zeros` lowest scores of each row. Which of several equal scores stay is not defined."""
    kept = torch.ones_like(scores, dtype=torch.bool)
    if zeros > 0:
        kept.scatter_(1, scores.topk(zeros, dim=1, largest=False).indices, False)
    return kept

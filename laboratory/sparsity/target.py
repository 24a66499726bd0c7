"""How many weights of a matrix become zero: a share of each row."""

from __future__ import annotations

from dataclasses import dataclass

from contract.errors import BuildError


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

"""How many weights of a matrix become zero, and how freely: a share of each row, or n of every m neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from contract.errors import BuildError


@dataclass(frozen=True, kw_only=True)
class GroupPattern:
    """Of every `size` consecutive weights of a row exactly `zeros` are zero. GPUs have kernels for 2:4."""

    zeros: int
    size: int

    def __post_init__(self) -> None:
        if not 0 < self.zeros < self.size:
            raise BuildError(f"The pattern {self.zeros}:{self.size} keeps nothing or all; give one such as 2:4 or 4:8.")

    def __str__(self) -> str:
        return f"{self.zeros}:{self.size}"

    @property
    def sparsity(self) -> float:
        """Share of zeros."""
        return self.zeros / self.size


def parse_pattern(text: str) -> GroupPattern:
    """Parse `n:m`, n zeros in every m weights, as the papers' code counts them; raise BuildError for anything else."""
    zeros, colon, size = text.partition(":")
    if not colon or not (zeros.isascii() and zeros.isdigit() and size.isascii() and size.isdigit()):
        raise BuildError(f"--pattern {text} is no n:m; give 2:4 or 4:8.")
    return GroupPattern(zeros=int(zeros), size=int(size))


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one matrix is to become."""

    sparsity: float  # share of each row that is zero
    pattern: GroupPattern | None = None  # with it, `sparsity` is the pattern's

    def __post_init__(self) -> None:
        if not 0.0 <= self.sparsity < 1.0:
            raise BuildError(
                f"A sparsity of {self.sparsity:g} is out of range; give a share of zeros from 0 to below 1."
            )
        if self.pattern is not None and self.sparsity != self.pattern.sparsity:
            raise BuildError(
                f"The pattern {self.pattern} makes {self.pattern.sparsity:.0%} zeros, not {self.sparsity:.0%}; leave "
                "the sparsity out."
            )

    def zeros_before(self, column: int) -> int:
        """Return how many of a row's first `column` weights are zero, if a row is pruned block by block."""
        return int(self.sparsity * column + 0.5)

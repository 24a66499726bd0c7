"""How much two choices of what to keep have in common, and how much they would by chance.

Choices are bits, one a weight (or channel, or token), packed as in `mask_file`: (rows, ⌈n / 8⌉) uint8. The Jaccard
distance of two sets is 1 − |A ∩ B| / |A ∪ B|; over several matrices intersections and unions are added up first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Bits = np.ndarray[Any, np.dtype[np.uint8]]
Counts = np.ndarray[Any, np.dtype[np.int64]]

_ONES: Final = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class KeptUnits:
    """Which of the `size` units of each row are kept."""

    bits: Bits  # (rows, ⌈size / 8⌉); bits past `size` are zero
    size: int

    @property
    def kept(self) -> Counts:
        """How many units are kept in each row, (rows,)."""
        return count_rows(self.bits)


def count_rows(bits: Bits) -> Counts:
    """Count the ones in each row, (rows,) int64."""
    counts: Counts = _ONES[bits].sum(axis=1, dtype=np.int64)
    return counts


def choice_of(kept: np.ndarray[Any, np.dtype[np.bool_]]) -> KeptUnits:
    """Make kept units from bool, (rows, size) or (size,)."""
    rows = np.atleast_2d(kept)
    return KeptUnits(bits=np.packbits(rows, axis=1), size=rows.shape[1])


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Sizes of the intersection and the union; they add up over matrices."""

    shared: float = 0.0  # |A ∩ B|
    either: float = 0.0  # |A ∪ B|

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(shared=self.shared + other.shared, either=self.either + other.either)

    @property
    def distance(self) -> float:
        """The Jaccard distance; 0 for two empty sets."""
        return 1.0 - self.shared / self.either if self.either else 0.0


def measure(one: KeptUnits, other: KeptUnits) -> Overlap:
    """Return what two choices among the same units share; raise ValueError if their shapes differ."""
    if one.size != other.size or one.bits.shape != other.bits.shape:
        raise ValueError(f"{one.bits.shape[0]} × {one.size} and {other.bits.shape[0]} × {other.size} do not compare.")
    shared = int(count_rows(one.bits & other.bits).sum())
    return _of(shared, one.kept, other.kept)


def expect_random(one: KeptUnits, other: KeptUnits) -> Overlap:
    """Return what random choices that keep as many in each row would share on average: k₁k₂/n of a row's n."""
    return _of(float((one.kept * other.kept / one.size).sum()), one.kept, other.kept)


def simulate_random(one: KeptUnits, other: KeptUnits, rng: np.random.Generator) -> Overlap:
    """Draw what two such random choices share: its distribution is hypergeometric."""
    left, right = one.kept, other.kept
    return _of(int(rng.hypergeometric(left, one.size - left, right).sum()), left, right)


def _of(shared: float, left: Counts, right: Counts) -> Overlap:
    return Overlap(shared=float(shared), either=float(left.sum() + right.sum()) - shared)

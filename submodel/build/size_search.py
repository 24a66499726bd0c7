"""`--size auto`: the smallest size at which the fine-tuned model is not worse than its base on validation lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from builder.evaluation.scores import is_worse
from contract.errors import BuildError

SIZES = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)  # shares of the base's parameters that are tried
MOST_TRIED: Final = 0.55 + 0.7 + 0.8  # the largest sum of the sizes that one search tries


class NoSizeError(BuildError):
    """No size that may be tried is as good as the base."""


def is_as_good(figures: Mapping[str, Any]) -> bool:
    """What the search asks for: no loss beyond chance, and no more bits a byte on the positions that were asked."""
    return not is_worse(figures) and figures["bits_per_byte_ratio"]["value"] <= 1


def smallest_size(sizes: Sequence[float], passes: Callable[[float], bool]) -> float:
    """The smallest of `sizes` (ascending) that passes, by bisection: a larger one passes where a smaller one does.

    Raises NoSizeError if not even the largest does, or if there are none.
    """
    if not sizes:
        raise NoSizeError(
            f"The code uses so much of the base's vocabulary that no size up to {SIZES[-1]:.0%} can be reached; "
            "choose a --size yourself, up to 1."
        )
    low, high = 0, len(sizes)  # the answer is among sizes[low:high], or there is none
    while low < high:
        middle = (low + high) // 2
        if passes(sizes[middle]):
            high = middle
        else:
            low = middle + 1
    if low == len(sizes):
        raise NoSizeError(
            f"No size up to {sizes[-1]:.0%} is as good as the base on validation files; give more --minutes, or choose "
            "a --size yourself."
        )
    return sizes[low]

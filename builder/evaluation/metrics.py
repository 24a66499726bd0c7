"""Figures from answers: exact match, edit similarity, and intervals by bootstrap."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate

from contract.documents import Estimate

_IDENTIFIER = re.compile(r"[^\W\d]\w*")


def is_exact(answer: str, truth: str) -> bool:
    """Whether the answer is the truth, white space at the end aside."""
    return answer.rstrip() == truth.rstrip()


def edit_similarity(answer: str, truth: str) -> float:
    """2·matched / total characters (Ratcliff and Obershelp, as difflib has it), 0 to 1."""
    return SequenceMatcher(None, answer.rstrip(), truth.rstrip(), autojunk=False).ratio()


def identifiers(text: str) -> list[str]:
    """Names in the order in which they stand; keywords count, since a wrong one is as wrong."""
    return _IDENTIFIER.findall(text)


def is_identifier_match(answer: str, truth: str) -> bool:
    """Whether both hold the same names in the same order (Ding et al., CrossCodeEval, 2023)."""
    return identifiers(answer) == identifiers(truth)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> Estimate:
        """As it stands in reports."""
        return {"value": self.value, "low": self.low, "high": self.high}


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; the caller sees to it that there are values."""
    return sum(values) / len(values)


def bootstrap(
    figure: Callable[[Sequence[int]], float],
    count: int,
    *,
    groups: Sequence[int] = (),
    rounds: int = 2000,
    seed: int = 0,
) -> Interval:
    """The 95 % percentile interval of `figure(indices)` when the `count` positions are drawn again with replacement.

    The figure sees indices, so that paired figures (two models on the same positions) are drawn in pairs. groups: sizes
    of the groups (repositories, say) that lie one behind the other and add up to `count`; each is drawn within itself.
    """
    rng = random.Random(seed)
    ends = list(accumulate(groups or (count,)))
    strata = [range(end - size, end) for end, size in zip(ends, groups or (count,), strict=True)]
    drawn = sorted(
        figure([index for stratum in strata for index in rng.choices(stratum, k=len(stratum))]) for _ in range(rounds)
    )
    return Interval(figure(range(count)), drawn[int(0.025 * rounds)], drawn[int(0.975 * rounds) - 1])

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
    files: Sequence[str] = (),
    rounds: int = 2000,
    seed: int = 0,
) -> Interval:
    """The 95 % percentile interval of `figure(indices)` when the `count` positions are drawn again with replacement.

    The figure sees indices, so that paired figures (two models on the same positions) are drawn in pairs. groups: sizes
    of the groups (repositories, say) that lie one behind the other and add up to `count`; each is drawn within itself.
    files: the file of each position, in place of groups. Lines of one file are alike, so whole files are drawn as
    well, one fewer than there are (Rao and Wu, 1988). The interval holds both, since few files alone say too little.
    """
    rng = random.Random(seed)
    ends = list(accumulate(groups or (count,)))
    strata = [range(end - size, end) for end, size in zip(ends, groups or (count,), strict=True)]
    low, high = _percentiles(
        [figure([index for stratum in strata for index in rng.choices(stratum, k=len(stratum))]) for _ in range(rounds)]
    )
    of_files: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        of_files.setdefault(file, []).append(index)
    if len(of_files) > 1:
        whole = list(of_files.values())
        by_file = [
            figure([index for one in rng.choices(whole, k=len(whole) - 1) for index in one]) for _ in range(rounds)
        ]
        lowest, highest = _percentiles(by_file)
        low, high = min(low, lowest), max(high, highest)
    return Interval(figure(range(count)), low, high)


def _percentiles(drawn: list[float]) -> tuple[float, float]:
    drawn.sort()
    return drawn[int(0.025 * len(drawn))], drawn[int(0.975 * len(drawn)) - 1]

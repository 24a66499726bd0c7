"""Figures from answers: exact match, edit similarity, and their intervals.

An interval is that of a bootstrap over files, or over lines where that is wider. It has no width if all lines are
right, or if two models answer alike. So the interval of a share holds Wilson's, too, and that of a difference of shares
holds what an exact sign test leaves possible. A bootstrap of two or three files says too little: each interval also
holds Student's over files. Of other files than the one that it was asked about, no interval says anything.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from contract.documents import Estimate

_Z = 1.96  # 97.5 % of a normal distribution lie below
DRAWS = 2000  # of a bootstrap
# 97.5 % of Student's distribution lie below, for 1 to 10 degrees of freedom.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def is_exact(answer: str, truth: str) -> bool:
    """Whether the answer is the truth, white space at the end aside."""
    return answer.rstrip() == truth.rstrip()


def edit_similarity(answer: str, truth: str) -> float:
    """2·matched / total characters (Ratcliff and Obershelp, as difflib has it), 0 to 1."""
    return SequenceMatcher(None, answer.rstrip(), truth.rstrip(), autojunk=False).ratio()


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def holding(self, low: float, high: float) -> Interval:
        """The interval, as wide as to hold these, too."""
        return Interval(self.value, min(self.low, low), max(self.high, high))

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
    files: Sequence[str] = (),
) -> Interval:
    """The 95 % percentile interval of `figure(indices)` when the `count` positions are drawn again with replacement.

    The figure sees indices, so that paired figures (two models on the same positions) are drawn in pairs.
    files: the file of each position. Lines of one file are alike, so whole files are drawn as well, one fewer than
    there are (Rao and Wu, 1988). The interval holds both, since few files alone say too little.
    """
    rng = random.Random(0)
    low, high = _percentiles([figure(rng.choices(range(count), k=count)) for _ in range(DRAWS)])
    of_files: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        of_files.setdefault(file, []).append(index)
    if len(of_files) > 1:
        whole = list(of_files.values())
        by_file = [
            figure([index for one in rng.choices(whole, k=len(whole) - 1) for index in one]) for _ in range(DRAWS)
        ]
        lowest, highest = _percentiles(by_file)
        low, high = min(low, lowest), max(high, highest)
    return Interval(figure(range(count)), low, high)


def _percentiles(drawn: list[float]) -> tuple[float, float]:
    drawn.sort()
    return drawn[int(0.025 * len(drawn))], drawn[int(0.975 * len(drawn)) - 1]


def share_of(hits: Sequence[bool], files: Sequence[str]) -> Interval:
    """The share of hits; files: the file of each."""
    drawn = bootstrap(lambda indices: mean([hits[i] for i in indices]), len(hits), files=files)
    half = _student_half([(hit - drawn.value) / len(hits) for hit in hits], files)
    low, high = max(0.0, drawn.value - half), min(1.0, drawn.value + half)
    return drawn.holding(low, high).holding(*wilson(drawn.value, len(hits)))


def difference_of(ours: Sequence[bool], theirs: Sequence[bool], files: Sequence[str]) -> Interval:
    """By how much our share of hits is above theirs, on the same lines; files: the file of each line."""
    lead = [own - other for own, other in zip(ours, theirs, strict=True)]
    drawn = bootstrap(lambda indices: mean([lead[i] for i in indices]), len(lead), files=files)
    half = _student_half([(one - drawn.value) / len(lead) for one in lead], files)
    low, high = max(-1.0, drawn.value - half), min(1.0, drawn.value + half)
    return drawn.holding(low, high).holding(*by_signs(lead.count(1), lead.count(-1), len(lead)))


def ratio_of(ours: Sequence[float], theirs: Sequence[float], files: Sequence[str]) -> Interval:
    """The sum of ours over the sum of theirs, both in pairs and above 0; files: the file of each pair."""
    total = sum(theirs)
    drawn = bootstrap(
        lambda indices: sum(ours[i] for i in indices) / sum(theirs[i] for i in indices), len(ours), files=files
    )
    residuals = [(own - drawn.value * other) / total for own, other in zip(ours, theirs, strict=True)]
    half = _student_half(residuals, files)
    return drawn.holding(max(0.0, drawn.value - half), drawn.value + half)


def _student_half(residuals: Sequence[float], files: Sequence[str]) -> float:
    """Half of Student's 95 % interval of a figure over files; 0 where there is one file.

    residuals: by how much each line moves the figure; they add up to 0.
    """
    of_files: dict[str, float] = {}
    for file, residual in zip(files, residuals, strict=True):
        of_files[file] = of_files.get(file, 0.0) + residual
    count = len(of_files)
    if count < 2:
        return 0.0
    return _student(count - 1) * math.sqrt(count / (count - 1) * sum(moved**2 for moved in of_files.values()))


def _student(freedom: int) -> float:
    """The point below which 97.5 % of Student's distribution lie (above 10: Abramowitz and Stegun 26.7.5)."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    return _Z + (_Z**3 + _Z) / (4 * freedom) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * freedom**2)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share of `count` (Wilson, 1927), which has a width where the share is 0 or 1."""
    center = share + _Z**2 / (2 * count)
    half = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    low, high = ((center + side * half) / (1 + _Z**2 / count) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


def by_signs(wins: int, losses: int, count: int) -> tuple[float, float]:
    """The 95 % interval of (wins - losses) / count.

    It leaves 0 out if and only if the exact two-sided sign test of wins and losses has p < 0.05. That test takes it as
    given how many lines differ, which is chance, too: the interval also holds Newcombe's, but for its side of a 0 that
    the test leaves out.
    """
    differing = wins + losses
    below, above = (differing - 2 * differing * _least_share(hits, differing) for hits in (wins, losses))
    low, high = -below / count, above / count
    least, most = _newcombe(wins / count, losses / count, count)
    return min(low, least) if low <= 0 else low, max(high, most) if high >= 0 else high


def _newcombe(share: float, other: float, count: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares of `count` (Newcombe, 1998): Wilson's, squared and added."""
    (low, high), (other_low, other_high) = wilson(share, count), wilson(other, count)
    lead = share - other
    return lead - math.hypot(share - low, other_high - other), lead + math.hypot(high - share, other - other_low)


def _least_share(hits: int, count: int) -> float:
    """The lower end of the exact 95 % interval of a share (Clopper and Pearson, 1934)."""
    if hits == 0:
        return 0.0
    low, high = 0.0, hits / count
    for _ in range(40):
        middle = (low + high) / 2
        if _tail(hits, count, middle) > 0.025:
            high = middle
        else:
            low = middle
    return low


def _tail(hits: int, count: int, share: float) -> float:
    """The probability of so many hits or more; 0 < share < 1. By logarithms, since the factors overflow."""
    whole = math.lgamma(count + 1)
    return sum(
        math.exp(
            whole
            - math.lgamma(k + 1)
            - math.lgamma(count - k + 1)
            + k * math.log(share)
            + (count - k) * math.log1p(-share)
        )
        for k in range(hits, count + 1)
    )

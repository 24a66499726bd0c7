"""The mean over lines that come in clusters of different sizes, with its 95 % interval.

Lines of one file or commit are alike, so that the clusters vary and not the lines. The error is that of a ratio
estimator, linearised (Cochran, Sampling Techniques, 1977, section 6), within each group. Student's t widens it, since
few clusters tell little of their spread; its degrees of freedom are Satterthwaite's. A percentile bootstrap over eight
clusters is too narrow, and lopsided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from builder.evaluation.metrics import Interval

# Student's t, 97.5 % quantiles, for 1 to 30 degrees of freedom.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_NORMAL = 1.960
Value = TypeVar("Value")


@dataclass(frozen=True)
class Cluster:
    """The sum over the lines of a cluster, and how many they are; for a ratio of two sums the other one."""

    total: float
    size: float


def cluster_numbers(names: Sequence[str]) -> list[int]:
    """Return for each line the number of its cluster, given the cluster's name, in the order of their first lines."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


def by_cluster(names: Iterable[object], values: Iterable[Value]) -> list[list[Value]]:
    """Return the values of each cluster, given the name or number of each value's."""
    found: dict[object, list[Value]] = {}
    for name, value in zip(names, values, strict=True):
        found.setdefault(name, []).append(value)
    return list(found.values())


def clusters_of(numbers: Iterable[int], values: Iterable[float]) -> list[Cluster]:
    """Return the clusters of lines with these values, given the number of each line's cluster."""
    return [Cluster(sum(each), len(each)) for each in by_cluster(numbers, values)]


def clustered_mean(groups: Sequence[Sequence[Cluster]]) -> Interval:
    """Return the mean over all lines; clusters are compared with those of their own group, such as a repository.

    A group of one cluster says nothing of its spread and is joined with the next. One cluster in all has no interval:
    it is infinite then.
    """
    clusters = [cluster for group in groups for cluster in group]
    lines = sum(cluster.size for cluster in clusters)
    value = sum(cluster.total for cluster in clusters) / lines
    if len(clusters) < 2:
        return Interval(value, -math.inf, math.inf)
    strata = _joined(groups)
    variances = [_variance([(one.total - value * one.size) / lines for one in stratum]) for stratum in strata]
    variance = sum(variances)
    if variance == 0:
        return Interval(value, value, value)
    freedom = variance**2 / sum(part**2 / (len(one) - 1) for part, one in zip(variances, strata, strict=True))
    half = student_t(freedom) * math.sqrt(variance)
    return Interval(value, value - half, value + half)


def clustered_ratio(groups: Iterable[tuple[Sequence[int], Sequence[float], Sequence[float]]]) -> Interval:
    """Return a part of all, likewise; of each group come its passages' clusters, the part in each, and all in each."""
    totals = []
    for names, part, whole in groups:
        passages = by_cluster(names, zip(part, whole, strict=True))
        totals.append([Cluster(*(sum(values) for values in zip(*cluster, strict=True))) for cluster in passages])
    return clustered_mean(totals)


def student_t(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t; parts of a degree are dropped."""
    whole = int(freedom + 1e-9)  # 31 degrees may come as 30.999…
    if whole <= len(_T):
        return _T[max(1, whole) - 1]
    return _NORMAL + (_NORMAL**3 + _NORMAL) / (4 * freedom)


def _variance(residuals: Sequence[float]) -> float:
    """Return the variance of the sum of residuals."""
    center = sum(residuals) / len(residuals)
    spread = sum((residual - center) ** 2 for residual in residuals)
    return len(residuals) / (len(residuals) - 1) * spread


def _joined(groups: Sequence[Sequence[Cluster]]) -> list[list[Cluster]]:
    """Return the groups, each of two clusters at least."""
    joined: list[list[Cluster]] = []
    for group in groups:
        if joined and len(joined[-1]) < 2:
            joined[-1].extend(group)
        elif group:
            joined.append(list(group))
    if len(joined) > 1 and len(joined[-1]) < 2:
        joined[-2].extend(joined.pop())
    return joined

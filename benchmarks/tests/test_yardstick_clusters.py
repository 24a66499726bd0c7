"""Means over lines that come in clusters."""

from __future__ import annotations

import math
import random

import pytest

from benchmarks.yardstick.clusters import Cluster, clustered_mean, student_t


def test_clusters_of_one_line_each_give_the_error_of_a_plain_mean() -> None:
    values = [1.0, 0.0, 0.0, 1.0, 1.0]

    found = clustered_mean([[Cluster(value, 1) for value in values]])

    half = 2.776 * math.sqrt(sum((value - 0.6) ** 2 for value in values) / 4 / 5)  # t of four degrees
    assert (found.value, found.low, found.high) == pytest.approx((0.6, 0.6 - half, 0.6 + half))


def test_eight_unequal_clusters_cover_the_mean_as_often_as_they_say() -> None:
    draw, covered = random.Random(0), 0
    for _ in range(1000):
        sizes = [draw.choice((8, 4)) for _ in range(8)]
        means = [0.5 + 0.1 * (size == 8) + draw.gauss(0, 0.2) for size in sizes]  # larger ones have more lines right
        found = clustered_mean([[Cluster(mean * size, size) for mean, size in zip(means, sizes, strict=True)]])
        covered += found.low <= 0.5 + 0.1 * 8 / 12 <= found.high

    assert 0.93 < covered / 1000 < 0.97


def test_repositories_are_compared_within_themselves_and_a_lone_cluster_joins_its_neighbour() -> None:
    assert clustered_mean([[Cluster(0, 1), Cluster(0, 1)], [Cluster(1, 1), Cluster(1, 1)]]).low == 0.5
    joined = clustered_mean([[Cluster(0, 1)], [Cluster(1, 1)]])
    assert joined == clustered_mean([[Cluster(0, 1), Cluster(1, 1)]])
    assert clustered_mean([[Cluster(1, 2)]]).high == math.inf


def test_the_quantile_falls_as_there_are_more_clusters() -> None:
    quantiles = [student_t(freedom) for freedom in range(1, 60)]

    assert quantiles == sorted(quantiles, reverse=True)
    assert student_t(7) == student_t(8 - 1e-6) == 2.365
    assert student_t(31 - 1e-12) == pytest.approx(student_t(31))
    assert student_t(1e6) == pytest.approx(1.96, abs=1e-4)

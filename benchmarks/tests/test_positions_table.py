"""Figures over several repositories."""

from __future__ import annotations

import pytest

from benchmarks.positions_table import lead, saving


def test_the_lead_is_the_difference_over_all_lines_and_repositories_stay_apart() -> None:
    # One repository where ours is always ahead, one where neither is: between them nothing varies.
    drawn = lead([[[(1, 0)]] * 10, [[(1, 1)]] * 30])

    assert drawn.value == drawn.low == drawn.high == 25.0


def test_lines_of_one_commit_vary_together() -> None:
    lines = [(1, 0)] * 20 + [(0, 0)] * 20
    alone, together = lead([[[line] for line in lines]]), lead([[lines[:20], lines[20:]]])

    assert alone.value == together.value == 50.0
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_saving_is_that_of_all_bits_together() -> None:
    drawn = saving([[(1.0, 2.0)] * 5, [(9.0, 8.0)] * 5])

    assert drawn.value == pytest.approx(0.0)
    assert drawn.low == pytest.approx(0.0)

"""Overlaps of packed bits against Python's sets, and chance against masks that are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laboratory.sparsity.overlap import Overlap, choice_of, expect_random, measure, simulate_random


def masks(rows, size, seed):
    rng = np.random.default_rng(seed)
    return [rng.random((rows, size)) < rng.random() for _ in range(2)]


@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 999))
def test_distances_are_those_of_sets(rows, size, seed):
    one, other = masks(rows, size, seed)
    left, right = (set(map(tuple, np.argwhere(mask).tolist())) for mask in (one, other))
    truth = 1 - len(left & right) / len(left | right) if left | right else 0.0
    assert measure(choice_of(one), choice_of(other)).distance == pytest.approx(truth)
    assert measure(choice_of(one), choice_of(one)).distance == 0.0
    assert choice_of(one).kept.tolist() == one.sum(axis=1).tolist()


@pytest.mark.parametrize(("left", "right"), [(0.5, 0.5), (0.3, 0.7), (0.9, 0.2)])
def test_chance_is_what_drawn_masks_share(left, right):
    rng = np.random.default_rng(0)

    def draw(share):
        return np.argsort(rng.random((200, 96)), axis=1) < int(share * 96)

    one, other = choice_of(draw(left)), choice_of(draw(right))
    drawn = sum((measure(choice_of(draw(left)), choice_of(draw(right))) for _ in range(5)), Overlap()).distance
    assert expect_random(one, other).distance == pytest.approx(drawn, abs=0.01)
    assert simulate_random(one, other, rng).distance == pytest.approx(drawn, abs=0.01)


def test_rows_of_unequal_density_overlap_more_by_chance():
    """Whoever averages the density over rows gets another figure."""
    kept = np.zeros((2, 100), dtype=bool)
    kept[0, :90], kept[1, :10] = True, True
    choice = choice_of(kept)
    shared = 0.9 * 90 + 0.1 * 10
    assert expect_random(choice, choice).distance == pytest.approx(1 - shared / (200 - shared))


def test_overlaps_add_up_and_other_shapes_do_not_compare():
    one, other = masks(4, 20, 1)
    parts = measure(choice_of(one[:1]), choice_of(other[:1])) + measure(choice_of(one[1:]), choice_of(other[1:]))
    assert parts == measure(choice_of(one), choice_of(other))
    with pytest.raises(ValueError, match="do not compare"):
        measure(choice_of(one), choice_of(other[:, :19]))

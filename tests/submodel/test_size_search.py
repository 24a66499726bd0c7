"""The search finds the smallest size that passes, and says when none does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BuildError
from submodel.build.size_search import SIZES, is_as_good, is_worse, smallest_size


@given(st.integers(0, len(SIZES) - 1))
def test_the_smallest_that_passes_is_found_in_few_trials(place):
    tried = []

    def passes(size):
        tried.append(size)
        return size >= SIZES[place]

    assert smallest_size(SIZES, passes) == SIZES[place]
    assert len(tried) <= 4
    assert len(set(tried)) == len(tried)


def test_none_that_passes_is_said():
    with pytest.raises(BuildError, match="--minutes"):
        smallest_size(SIZES, lambda size: False)


def test_sizes_out_of_reach_are_said():
    with pytest.raises(BuildError, match="vocabulary"):
        smallest_size([], lambda size: True)


@pytest.mark.parametrize(
    ("exact", "bits", "worse", "as_good"),
    [
        ((-0.1, 0.0), (0.9, 1.1), False, True),
        ((-0.2, -0.01), (0.9, 1.1), True, False),
        ((0.0, 0.1), (1.01, 1.1), True, False),
        ((-0.1, 0.1), (0.95, 1.1), False, False),  # within chance, but more bits on what was asked
    ],
)
def test_only_what_chance_does_not_explain_is_worse_and_a_search_asks_for_more(exact, bits, worse, as_good):
    figures = {
        name: {"value": sum(ends) / 2, "low": ends[0], "high": ends[1]}
        for name, ends in (("exact_match_difference", exact), ("bits_per_byte_ratio", bits))
    }
    assert is_worse(figures) is worse
    assert is_as_good(figures) is as_good

"""Drafts: where they are found, how long they are, and what the cost of a step is taken to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.bundle.drafts import build_index
from lsp_server.decoding.speculation import NO_DRAFT, Acceptance, Drafter, StepCosts, find_in_context


@given(st.lists(st.integers(0, 3), max_size=40))
def test_the_context_is_searched_for_its_own_end(tokens):
    run, following = find_in_context(tokens, 5)
    earlier = {
        n: [i for i in range(len(tokens) - n) if tokens[i : i + n] == tokens[len(tokens) - n :]] for n in (4, 3, 2)
    }
    longest = next((n for n, starts in earlier.items() if starts), 0)
    assert run == longest
    if run:
        place = earlier[run][-1] + run
        assert following == tokens[place : place + 5]


def test_the_longer_run_wins():
    drafter = Drafter(build_index([[1, 2, 3, 4, 90, 91, 92]]))
    assert drafter.propose([3, 4, 50, 1, 2, 3, 4], 8).source == ("repository", 4)
    assert drafter.propose([1, 2, 3, 4, 50, 51, 1, 2, 3, 4], 8).source == ("context", 4)
    assert drafter.propose([7, 8, 50, 51, 9, 7, 8], 8).source == ("context", 2)
    assert drafter.propose([5, 6, 7], 8) == NO_DRAFT
    assert drafter.propose([1, 2, 3, 4], 0) == NO_DRAFT
    assert len(drafter.propose([9, 9, 1, 2, 3, 4], 2).tokens) <= 2


def test_the_last_answers_are_drafted_first():
    drafter = Drafter(build_index([[1, 2, 3, 4, 90, 91, 92]]))
    drafter.remember([7, 8, 1, 2], [3, 4, 5, 6, 99])
    assert drafter.propose([7, 8, 1, 2], 8).tokens == (3, 4, 5, 6, 99)
    assert drafter.propose([7, 8, 1, 2, 3], 8).tokens == (4, 5, 6, 99)
    assert drafter.propose([7, 8, 1, 2, 30, 3, 4], 8).source == ("answer", 2), "the same words a little later"
    assert drafter.propose([7, 8, 1, 2, 30, 3, 4], 8, only_answers=True) == NO_DRAFT
    assert drafter.propose([8, 1, 2, 3, 4], 8).source == ("answer", 4)
    drafter.remember([7, 8, 1, 2], [50])
    assert drafter.propose([7, 8, 1, 2], 8).tokens == (50,), "the newest"
    assert drafter.propose([7, 8, 1, 2, 3], 8).tokens == (4, 5, 6, 99), "and those before"


def test_what_is_seldom_right_is_not_drafted():
    drafter = Drafter(build_index([[1, 2, 3, 4, 90, 91, 92, 93, 94, 95]]))
    context = [9, 1, 2, 3, 4]
    long = len(drafter.propose(context, 8).tokens)
    assert long >= 3
    for _ in range(60):
        drafter.acceptance.observe(("repository", 4), 0, 4)
    assert drafter.propose(context, 8) == NO_DRAFT
    for _ in range(60):
        drafter.acceptance.observe(("repository", 4), 4, 4)
    assert len(drafter.propose(context, 8).tokens) >= long


def test_dear_tokens_are_drafted_less():
    drafter = Drafter(build_index([[1, 2, 3, 4, *range(50, 70)]]))
    cheap = len(drafter.propose([1, 2, 3, 4], 12).tokens)
    for _ in range(80):
        for tokens in (1, 4, 8):
            drafter.costs.observe(tokens, 10.0 * tokens)  # a second token costs as much as a step of its own
    assert len(drafter.propose([1, 2, 3, 4], 12).tokens) == 0
    assert cheap >= 4


def test_costs_are_a_line_through_what_was_seen():
    costs = StepCosts()
    assert costs.of(1) == 1.0
    for _ in range(100):
        for tokens in (1, 3, 7):
            costs.observe(tokens, 8.0 + 0.5 * tokens)
    for tokens in (1, 2, 5, 12):
        assert costs.of(tokens) == pytest.approx(8.0 + 0.5 * tokens, rel=0.01)


def test_costs_follow_a_machine_that_becomes_slower_or_faster():
    costs = StepCosts()
    for factor in (1, 8, 0.5):
        for _ in range(60):
            for tokens in (1, 3, 7):
                costs.observe(tokens, factor * (20.0 + 1.0 * tokens))
        assert costs.of(1) == pytest.approx(factor * 21.0, rel=0.1)


def test_a_rate_counts_up_to_the_first_wrong_token():
    acceptance = Acceptance()
    before = acceptance.rate(("context", 2))
    acceptance.observe(("context", 2), 3, 3)
    assert acceptance.rate(("context", 2)) == pytest.approx(1 - (1 - before) * 0.9**3), "none was wrong"
    other = Acceptance()
    other.observe(("context", 2), 0, 8)  # seven tokens behind the first wrong one say nothing
    assert other.rate(("context", 2)) == pytest.approx(before * 0.9)
    assert acceptance.rate(("repository", 4)) == 0.75

"""Answers to first keys, and the walk to them."""

from __future__ import annotations

import pytest

from benchmarks.read_ahead import describe, judge, plan_walk


def test_an_answer_that_shows_nothing_is_not_a_suggestion_in_time() -> None:
    answers = [
        judge(10, "", "a = 1"),
        judge(20, "a = 1\nb = 2", "a = 1"),
        judge(30, "a", "a = 1"),
        judge(200, "x", "x"),
    ]

    found = describe(answers)

    assert found["share_within_150_ms"] == 0.75
    assert found["share_shown_within_150_ms"] == 0.5
    assert found["share_right_within_150_ms"] == 0.25
    assert "share_right_within_150_ms" not in describe([judge(10, "a", None)])


def test_a_walk_through_no_file_is_refused() -> None:
    with pytest.raises(SystemExit, match="larger repository"):
        plan_walk({"a.py": "one = 1\n", "empty.py": "\n" * 99}, 5, seed=0)
    assert len(plan_walk({"a.py": "one = 1\n" * 50}, 5, seed=0)) == 5

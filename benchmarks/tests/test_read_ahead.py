"""Answers to first keys, and the walk to them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.read_ahead import Walked, describe, describe_arm, judge, plan_edits, plan_walk
from contract.errors import SubmodelError
from laboratory.replay import passages
from testbed.git import git


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


def test_the_halves_of_a_walk_count_together() -> None:
    halves = [
        Walked(answers={"open": [judge(10, "a", None)]}, seconds=30.0, core_s=1.0),
        Walked(answers={"near": [judge(30, "a", None)], "open": [judge(20, "", None)]}, seconds=30.0, core_s=3.0),
    ]

    found = describe_arm(halves)

    assert (found["first_key"]["count"], found["first_key"]["p50_ms"]) == (3, 20.0)
    assert [one["milliseconds"] for one in found["keys"]["open"]] == [10.0, 20.0]
    assert (found["browsing_s"], found["browsing_core_s_a_minute"]) == (60.0, 4.0)


def test_a_walk_through_no_file_is_refused() -> None:
    with pytest.raises(SystemExit, match="larger repository"):
        plan_walk({"a.py": "one = 1\n", "empty.py": "\n" * 99}, 5, seed=0)
    assert len(plan_walk({"a.py": "one = 1\n" * 50}, 5, seed=0)) == 5


def test_an_added_line_is_asked_below_the_line_before_and_only_if_the_bundle_has_not_learned_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = "x = '\N{GRINNING FACE}'\n    two = 2\nthree = 3\n"
    git(tmp_path, "init", "-q")
    for a, b in (("x = '\N{GRINNING FACE}'\nthree = 3\n", "one = 1\n"), (later, "new = 0\none = 1\n")):
        (tmp_path / "a.py").write_text(a, "utf-8")
        (tmp_path / "b.py").write_text(b, "utf-8")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", "more")
    learned: list[str] = []
    bundle = SimpleNamespace(manifest={"learned_sha256": learned})
    monkeypatch.setattr(passages, "read_bundle", lambda *_, **__: bundle)

    [move] = plan_edits(tmp_path, tmp_path, "HEAD~1", 9, seed=0)

    assert (move.path, move.text, move.truth) == ("a.py", "x = '\N{GRINNING FACE}'\nthree = 3\n", "two = 2")
    assert ((move.line, move.character), move.key) == ((0, 7), "\n    ")
    learned.append(sha256(later.encode()).hexdigest())
    with pytest.raises(SubmodelError, match=r"learned a\.py"):
        plan_edits(tmp_path, tmp_path, "HEAD~1", 9, seed=0)

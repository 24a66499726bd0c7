"""Answers are kept, and asked of no later model."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cold_answers
from benchmarks.builds import mark_of
from benchmarks.cold_answers import answers_of
from laboratory.bench.workload import Keystroke


def stroke(before: str) -> Keystroke:
    return Keystroke(before=before, behind="", truth="x", path="a.py", commit="", is_new_line=True, is_new_place=True)


def test_answers_are_kept_and_no_later_model_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".submodel").mkdir()
    monkeypatch.setattr(cold_answers, "ask", lambda bundle, strokes: {"asked of": bundle.read_text()})
    bundle = tmp_path / ".submodel" / "bundle"
    for number in (1, 2):
        bundle.write_text(f"update {number}")
        mark_of(tmp_path, number).write_text("{}")
        assert answers_of("update", number, tmp_path, [stroke("a")]) == {"asked of": f"update {number}"}

    assert answers_of("update", 1, tmp_path, [stroke("a")]) == {"asked of": "update 1"}
    assert answers_of("update", 2, tmp_path, [stroke("b")]) == {"asked of": "update 2"}
    with pytest.raises(SystemExit, match="updated after point 1"):
        answers_of("update", 1, tmp_path, [stroke("b")])

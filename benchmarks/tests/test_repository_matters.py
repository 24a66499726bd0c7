"""What the benchmark of repositories keeps of earlier runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import repository_matters
from benchmarks.measured_repositories import GENERIC
from benchmarks.repository_matters import folder_scores, generic_code
from builder.corpus.corpus import SourceFile
from builder.evaluation.held_out import HeldOut, ScoringSettings, make_held_out
from builder.evaluation.scores import ScoredAnswer, Scores


def held_out_of(text: str) -> HeldOut:
    file = SourceFile(path="a.py", language="Python", text=text, sha256="", split="held-out")
    return make_held_out([file], ScoringSettings())


def test_scores_of_other_lines_or_another_way_to_score_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[HeldOut] = []

    def score(predictor: object, held_out: HeldOut) -> Scores:
        asked.append(held_out)
        return Scores(name="m", lines=(ScoredAnswer(answer="", truth="", language="Python"),))

    monkeypatch.setattr(repository_matters, "score", score)
    monkeypatch.setattr(repository_matters, "open_predictor", lambda *_: SimpleNamespace())
    (tmp_path / "manifest.json").write_text("{}")
    first, second = held_out_of("value = 1\n"), held_out_of("other = 2\n")
    for held_out in (first, first, second, second):
        folder_scores(tmp_path, held_out, tmp_path)
    assert asked == [first, second]

    monkeypatch.setattr(repository_matters, "SCORING_VERSION", -1)
    folder_scores(tmp_path, second, tmp_path)
    assert asked == [first, second, second]


def test_other_generic_repositories_have_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    monkeypatch.setattr(repository_matters, "CACHE", tmp_path)
    monkeypatch.setattr(repository_matters, "fetch", lambda _: fetched)
    names = set()
    for chosen in (GENERIC, GENERIC, GENERIC[:1]):
        monkeypatch.setattr(repository_matters, "GENERIC", chosen)
        folder = generic_code()
        names.add(folder.name)
        assert {path.name for path in folder.iterdir()} == {one.name for one in chosen}
    assert len(names) == 2

"""Answers that are kept by what was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.prompt import PromptEncoder, PromptFormat
from submodel.build import kept_answers
from submodel.build.kept_answers import KeptAnswers
from testbed.tokenizer import make_tokenizer


class Model:
    """Answers with the number of the question, and notes what it is asked."""

    name, parameters, bytes = "base", 7, 28
    encoder = PromptEncoder(make_tokenizer(), PromptFormat())

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def nats(self, ids: Sequence[int]) -> float:
        self.asked.append(tuple(ids))
        return float(len(self.asked))

    def complete(
        self, prompts: Sequence[Sequence[int]], on_done: Callable[[int], None], *, lines: int, starts: Sequence[str]
    ) -> list[str]:
        answers = []
        for prompt, start in zip(prompts, starts, strict=True):
            self.asked.append((tuple(prompt), lines, start))
            answers.append(f"answer {len(self.asked)}")
            on_done(1)
        return answers


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))


def ask(path: Path, prompts: Sequence[Sequence[int]], *, lines: int = 1, model: str = "m") -> tuple[list[str], Model]:
    one, done = Model(), []
    kept = KeptAnswers(one, path, model)
    answers = kept.complete(prompts, done.append, lines=lines, starts=["x"] * len(prompts))
    kept.nats([1, 2, 3])
    assert sum(done) == len(prompts)
    kept.save()
    return answers, one


def test_a_model_is_asked_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    first, model = ask(path, [[1, 2], [3], [1, 2]])
    assert len(model.asked) == 4 and first[0] == first[2]
    second, model = ask(path, [[3], [4], [1, 2]])
    assert model.asked == [((4,), 1, "x")]
    assert second == [first[1], "answer 1", first[0]]


@pytest.mark.parametrize("change", [{"lines": 2}, {"model": "another"}])
def test_another_question_and_another_model_are_others(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "answers.json"
    ask(path, [[1, 2]])
    _, model = ask(path, [[1, 2]], **change)
    assert ((1, 2), change.get("lines", 1), "x") in model.asked


def test_answers_that_somebody_else_wrote_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "answers.json"
    ask(path, [[1, 2]])
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "another"))
    _, model = ask(path, [[1, 2]])
    assert len(model.asked) == 2


def test_the_oldest_answers_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "MOST_KEPT", 2)
    path = tmp_path / "answers.json"
    ask(path, [[1], [2]])
    ask(path, [[1], [3]])  # asked again, the first is newer than the second
    _, model = ask(path, [[1], [3]])
    assert model.asked == []
    _, model = ask(path, [[2]])
    assert len(model.asked) == 1

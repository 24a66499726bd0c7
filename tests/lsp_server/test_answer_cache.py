from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsp_server.answer_cache import AnswerCache, scope_of
from lsp_server.options import ServerOptions, ThresholdOptions, TriggerOptions
from lsp_server.request import Completion, CompletionRequest
from tests.lsp_server.marked_documents import request_at

OPTIONS = ServerOptions()
ANSWER = Completion(text="foo(bar)", build="a")


def at(document: str, **more: Any) -> CompletionRequest:
    return request_at(document, **{"bundle": Path("bundle"), "options": OPTIONS, **more})


PLACE, NEXT_KEY = at("x = ‸\n"), at("x = f‸\n")


def make() -> AnswerCache:
    return AnswerCache(lambda bundle: "a")


def test_an_answer_that_was_asked_for_before_answers_were_dropped_is_not_kept() -> None:
    known = make()
    since = known.epoch
    known.clear()
    known.keep(PLACE, ANSWER, since)
    assert known.find(PLACE, OPTIONS) is None
    known.keep(PLACE, ANSWER, known.epoch)
    assert known.find(PLACE, OPTIONS) is not None


@pytest.mark.parametrize(
    "answer",
    [
        Completion(build="a", rule="cancelled"),
        replace(ANSWER, is_late=True),
        replace(ANSWER, is_from_short_prompt=True),
    ],
    ids=["cancelled", "late", "from a short prompt"],
)
def test_an_answer_that_may_differ_next_time_is_not_kept(answer: Completion) -> None:
    known = make()
    known.keep(PLACE, answer, known.epoch)
    assert known.find(PLACE, OPTIONS) is None


def test_all_kinds_are_dropped() -> None:
    known = make()
    known.keep(PLACE, ANSWER, known.epoch)
    known.keep_first(PLACE, ANSWER, known.epoch)
    known.begin_typed_along(PLACE, ANSWER)
    known.clear()
    assert known.find(PLACE, OPTIONS) is None
    assert known.take_first(PLACE) is None
    assert known.find_typed_along(NEXT_KEY) is None


def test_the_answer_for_the_first_key_is_not_given_by_hand() -> None:
    known = make()
    known.keep_first(PLACE, ANSWER, known.epoch)
    assert known.take_first(replace(PLACE, is_invoked=True)) is None
    known.keep_first(PLACE, ANSWER, known.epoch)
    assert known.take_first(PLACE) == (ANSWER, "exact")


def test_a_short_prompt_s_suggestion_is_given_only_while_it_is_typed() -> None:
    known = make()
    known.begin_typed_along(PLACE, ANSWER)
    assert known.find_typed_along(PLACE) is None
    assert known.find_typed_along(NEXT_KEY) is not None


def test_a_whole_prompt_that_is_read_ends_no_newer_suggestion() -> None:
    known = make()
    end = known.begin_typed_along(PLACE, ANSWER)
    known.begin_typed_along(PLACE, ANSWER)
    end()
    assert known.find_typed_along(NEXT_KEY) is not None
    known.begin_typed_along(PLACE, None)
    assert known.find_typed_along(NEXT_KEY) is None


@pytest.mark.parametrize(
    "other",
    [
        {"bundle": Path("other")},
        {"path": "b.py"},
        {"language_id": "rust"},
        {"may_reindent": True},
        {"may_place_cursor": True},
        {"options": replace(OPTIONS, threshold=ThresholdOptions(confidence=0.9))},
        {"options": replace(OPTIONS, trigger=TriggerOptions(multi_line=False))},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_an_answer_depends_on_is_another_place(other: dict[str, Any]) -> None:
    assert scope_of(replace(PLACE, **other), "a") != scope_of(PLACE, "a")


def test_another_build_s_answers_are_not_given() -> None:
    build: str | None = "a"
    known = AnswerCache(lambda bundle: build)
    known.keep(PLACE, ANSWER, known.epoch)
    assert known.find(PLACE, OPTIONS) is not None
    build = "b"
    assert known.find(PLACE, OPTIONS) is None

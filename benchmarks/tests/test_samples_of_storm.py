"""What a storm of keys counts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from lsprotocol.types import Position

from benchmarks.robustness import storm
from benchmarks.robustness.rebuilds import is_as_expected
from benchmarks.robustness.storm import Storm


@pytest.mark.parametrize(("is_busy", "is_measured"), [([False, False], False), ([True, True, False], True)])
def test_an_answer_that_came_before_it_could_be_taken_back_is_no_sample(
    monkeypatch: pytest.MonkeyPatch, is_busy: list[bool], is_measured: bool
) -> None:
    seen, taken_back = iter(is_busy), asyncio.Event()
    client: Any = SimpleNamespace(
        text_document_did_change=lambda change: None, cancel_request=lambda params: taken_back.set()
    )
    keys = Storm(client)

    async def ask(*_: object) -> None:
        if is_measured:
            await taken_back.wait()

    async def look() -> bool:
        await asyncio.sleep(0)
        return next(seen)

    monkeypatch.setattr(keys, "ask", ask)
    monkeypatch.setattr(keys, "_is_busy", look)
    waited_ms = asyncio.run(keys.cancel_to_idle())
    assert (waited_ms is not None) == is_measured


async def _never(*_: object) -> Any:
    await asyncio.Event().wait()


def test_a_request_without_an_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storm, "LOST_S", 0.01)
    client: Any = SimpleNamespace(protocol=SimpleNamespace(send_request_async=_never))
    keys = Storm(client)

    with pytest.raises(TimeoutError):
        asyncio.run(keys.ask(Position(0, 0), "1", None))

    assert (keys.sent, keys.outcomes.total()) == (1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lost": 1},
        {"compared": 0},
        {"wrong": [{}]},
        {"answers": {"items": 1, "error: x": 1}},
        {"outcomes": {"shown": 1}},
    ],
)
def test_rebuilds_are_as_expected_if_all_was_answered_and_compared(wrong: dict[str, Any]) -> None:
    answers, outcomes = {"items": 1, "cancelled": 1}, {"shown": 1, "superseded": 1}
    figures = {"requests": 2, "answers": answers, "lost": 0, "compared": 1, "wrong": [], "outcomes": outcomes}

    assert is_as_expected(figures)
    assert not is_as_expected(figures | wrong)

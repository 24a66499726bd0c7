"""What a storm of keys counts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.robustness.storm import Storm


@pytest.mark.parametrize(("is_busy", "is_measured"), [([False, False], False), ([True, True, False], True)])
def test_an_answer_that_came_before_it_could_be_taken_back_is_no_sample(
    monkeypatch: pytest.MonkeyPatch, is_busy: list[bool], is_measured: bool
) -> None:
    seen, taken_back = iter(is_busy), asyncio.Event()
    client: Any = SimpleNamespace(
        text_document_did_change=lambda change: None, cancel_request=lambda params: taken_back.set()
    )
    storm = Storm(client)

    async def ask(*_: object) -> None:
        if is_measured:
            await taken_back.wait()

    async def look() -> bool:
        await asyncio.sleep(0)
        return next(seen)

    monkeypatch.setattr(storm, "ask", ask)
    monkeypatch.setattr(storm, "_is_busy", look)
    waited_ms = asyncio.run(storm.cancel_to_idle())
    assert (waited_ms is not None) == is_measured

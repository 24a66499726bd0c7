from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporters.bundle import Bundle
from exporters.errors import BundleError
from lsp_server.completion import Completion
from lsp_server.errors import ServeError
from lsp_server.service import CompletionService, Question


class SlowCompleter:
    """Answers with its text when it is released; stops when it is told to, as an engine between tokens."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.is_started = threading.Event()
        self.release = threading.Event()

    def complete(self, text: str, offset: int, *, stop: Callable[[], bool], **_: object) -> Completion:
        self.started.append(text)
        self.is_started.set()
        while not self.release.wait(0.001):
            if stop():
                self.stopped.append(text)
                return Completion(text="")
        return Completion(text=f"answer to {text}")


async def ask(service: CompletionService, text: str) -> str:
    answer = await service.complete(Question(text=text, offset=len(text)))
    return answer.text if answer else ""


def run(test: Callable[[CompletionService, SlowCompleter], Any]) -> None:
    service, completer = CompletionService(), SlowCompleter()
    service._completer = completer  # type: ignore[assignment]
    try:
        asyncio.run(asyncio.wait_for(test(service, completer), timeout=10))
    finally:
        service.close()


async def start(service: CompletionService, completer: SlowCompleter, text: str) -> asyncio.Task[str]:
    """A request that the worker is busy with."""
    completer.is_started.clear()
    task = asyncio.create_task(ask(service, text))
    while not completer.is_started.is_set():
        await asyncio.sleep(0.001)
    return task


def test_newest_request_stops_the_running_one_and_skips_those_between() -> None:
    async def test(service: CompletionService, completer: SlowCompleter) -> None:
        oldest = await start(service, completer, "oldest")
        between = asyncio.create_task(ask(service, "between"))
        newest = asyncio.create_task(ask(service, "newest"))
        assert await oldest == ""
        completer.release.set()
        assert [await between, await newest] == ["", "answer to newest"]
        assert completer.stopped == ["oldest"]
        assert "between" not in completer.started

    run(test)


def test_cancelled_request_stops_and_the_next_is_answered() -> None:
    async def test(service: CompletionService, completer: SlowCompleter) -> None:
        task = await start(service, completer, "cancelled")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not completer.stopped:  # no further request is needed for that
            await asyncio.sleep(0.001)
        following = await start(service, completer, "following")
        assert completer.stopped == ["cancelled"]
        completer.release.set()
        assert await following == "answer to following"

    run(test)


def test_error_of_the_engine_is_logged_and_answered_with_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class FailingCompleter:
        def complete(self, *_: object, **__: object) -> Completion:
            raise ServeError("The model failed.")

    async def test(service: CompletionService, _: SlowCompleter) -> None:
        service._completer = FailingCompleter()  # type: ignore[assignment]
        assert await ask(service, "x") == ""
        service._completer = completer = SlowCompleter()  # type: ignore[assignment]
        completer.release.set()
        assert await ask(service, "x") == "answer to x"

    run(test)
    assert "The model failed." in caplog.text


def test_requests_wait_for_the_model(tiny_bundle: Bundle) -> None:
    async def test(service: CompletionService, _: SlowCompleter) -> None:
        service._completer = None
        loading = service.load(tiny_bundle.folder, 1)
        assert await ask(service, "def f(self):\n    return ") != ""
        assert loading.done()

    run(test)


def test_without_a_model_answers_are_empty(tmp_path: Path) -> None:
    async def test(service: CompletionService, _: SlowCompleter) -> None:
        service._completer = None
        loading = service.load(tmp_path, 1)
        assert await ask(service, "x") == ""
        with pytest.raises(BundleError):
            loading.result()

    run(test)

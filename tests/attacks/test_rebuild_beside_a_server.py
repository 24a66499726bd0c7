"""A rebuild, and changes of the configuration, beside a running server.

Both tests succeed as attacks on 9201313: an answer of the old model stayed in the cache that a reload had cleared, and
20 changes of the configuration started 20 readings.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import lsp_server.repositories as module
from contract.bundle.bundle import WORKSPACE_BUNDLE
from lsp_server.options import CareOptions, ServerOptions, TriggerOptions
from lsp_server.repositories import Repositories
from lsp_server.request import Completion, CompletionRequest
from lsp_server.service import CompletionService
from lsp_server.session import Session

pytestmark = pytest.mark.slow  # whole builds


def test_an_answer_of_the_old_model_does_not_stay_in_a_cache_that_was_cleared() -> None:
    class Service(CompletionService):
        asked = 0

        async def complete(
            self, request: CompletionRequest, unwanted: threading.Event | None = None, *, may_load: bool = True
        ) -> Completion | None:
            self.asked += 1
            session.answers.clear()  # a reload, just before the answer comes
            return Completion(text=f"answer {self.asked}")

    service = Service()
    trigger = TriggerOptions(debounce_min_ms=0, debounce_max_ms=0)
    care = CareOptions(on_battery="full", prefetch=False)
    session = Session(service, ServerOptions(trigger=trigger, care=care))
    text = "value = "
    request = CompletionRequest(text=text, offset=len(text), path="a.txt", is_invoked=True, bundle=Path("/bundle"))

    async def ask() -> list[str]:
        return [found.text for found in [await session.suggest(request), await session.suggest(request)] if found]

    try:
        assert asyncio.run(ask()) == ["answer 1", "answer 2"]
    finally:
        service.close()


def test_changes_of_the_configuration_start_one_reading_and_the_newest_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []
    bundle = tmp_path / WORKSPACE_BUNDLE
    go_on = threading.Event()

    def read(root: Path, rest: object, *, is_git_s: bool) -> list[str]:
        begun.append(root)
        number = len(begun)
        go_on.wait(10)
        return [str(file) for file in range(number)]

    monkeypatch.setattr(module, "read_current_hashes", read)
    monkeypatch.setattr(module, "manifest_or_empty", lambda folder: {"learned_sha256": ["of another text"]})

    async def test() -> Any:
        repositories = Repositories()
        for _ in range(20):
            repositories.read(tmp_path, bundle)
        go_on.set()
        while repositories.drift_of(bundle) is None:
            await asyncio.sleep(0.01)
        repositories.close()
        return repositories.drift_of(bundle)

    newest = asyncio.run(asyncio.wait_for(test(), 120))
    assert len(begun) == 2, "one that ran when the others came, and the newest"
    assert newest["files"] == 2, "that of the second reading"

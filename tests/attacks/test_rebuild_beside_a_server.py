"""A rebuild beside a running server.

On 9201313 an answer of the old model stayed in the cache that a reload had cleared.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from lsp_server.options import CareOptions, ServerOptions, TriggerOptions
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

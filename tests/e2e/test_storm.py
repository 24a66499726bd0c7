"""Ten thousand keys at the service, as fast as an event loop can send them: nothing piles up, everything is answered.

The real figures (50 keys a second at a real bundle) are those of benchmarks/storm.py; no wall-clock time is
asserted here.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

from contract.bundle.bundle import Bundle
from lsp_server.options import CareOptions, ServerOptions, TriggerOptions
from lsp_server.request import CompletionRequest
from lsp_server.service import CompletionService
from lsp_server.session import Session

KEYS = 10_000
OPTIONS = ServerOptions(
    threads=1,
    max_new_tokens=8,
    trigger=TriggerOptions(debounce_min_ms=0, debounce_max_ms=0, budget_ms=60_000),
    care=CareOptions(on_battery="full"),
)


def test_storm_of_keys_leaves_no_pile(tiny_bundle: Bundle) -> None:
    rng = random.Random(0)
    outcomes: Counter[str] = Counter()
    most_waiting = 0

    def request(key: int) -> CompletionRequest:
        text = f"value_{rng.randrange(10**6)} = compute(alpha)\nname_{key} = "
        return CompletionRequest(
            text=text, offset=len(text), path="a.txt", is_invoked=key % 7 == 0, bundle=Path(tiny_bundle.folder)
        )

    async def test(service: CompletionService) -> None:
        nonlocal most_waiting
        session = Session(service, OPTIONS)
        await asyncio.wrap_future(service.load(tiny_bundle.folder, 1))
        tasks: set[asyncio.Task[None]] = set()

        async def ask(key: int) -> None:
            try:
                answer = await session.suggest(request(key))
                outcomes["shown" if answer else "nothing"] += 1
            except asyncio.CancelledError:
                outcomes["cancelled"] += 1

        for key in range(KEYS):
            task = asyncio.create_task(ask(key))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(0)
            if key % 3 == 0:
                task.cancel()
            if key % 100 == 99:
                await asyncio.sleep(0.002)  # the worker gets a turn
                most_waiting = max(most_waiting, len(tasks))
        while tasks:
            await asyncio.wait(tasks)
        await asyncio.wrap_future(
            service._worker.submit(lambda: None)
        )  # the last request, which was cancelled, waits for none
        assert service._worker._executor._work_queue.qsize() == 0
        last = await session.suggest(request(KEYS))
        assert last is not None, "after the storm it answers as before"

    service = CompletionService()
    try:
        asyncio.run(asyncio.wait_for(test(service), timeout=300))
    finally:
        service.close()
    assert outcomes.total() == KEYS, "every request was answered or cancelled"
    assert outcomes["cancelled"] > KEYS / 4
    assert most_waiting < 100, "older requests end as newer ones come"

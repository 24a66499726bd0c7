"""A storm of keys at a real server: 10,000 at 50 a second, a third of the requests cancelled.

    python -m benchmarks.storm BUNDLE [--keys 10000] [--rate 50]

It measures how long a cancelled model goes on (beside its time a token), how late answers and cancellations come, and
the memory before and after. A request is lost if it fails or has no answer after 30 s. Writes
benchmarks/results/storm.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled
from pygls.lsp.client import LanguageClient

from benchmarks.builds import write_result
from contract.children import python_module
from laboratory.replay.server_session import until_ready

IDLE_SAMPLES = 200
LOST_S = 30.0  # without an answer
WORDS = ["self", "value", "return", "request", "response", "close", "name", "path", "compute", "update"]


class Storm:
    """One document that is typed into, and what became of each request."""

    def __init__(self, client: LanguageClient, seed: int = 0) -> None:
        self._client = client
        self._rng = random.Random(seed)
        self._uri = "file:///storm/main.py"
        self._version = 1
        self._line, self._text = 0, ""
        self.sent = 0
        self.outcomes: Counter[str] = Counter()
        self.cancel_ms: list[float] = []

    def open(self) -> None:
        """Open the document, empty."""
        item = types.TextDocumentItem(self._uri, "python", 1, "")
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def press(self) -> types.Position:
        """Type one more character of words and line ends."""
        end = len(self._text) > 60
        key = "\n" if end else self._rng.choice([*self._rng.choice(WORDS), " ", ".", "("])
        there = types.Position(self._line, len(self._text))
        self._version += 1
        document = types.VersionedTextDocumentIdentifier(self._version, self._uri)
        change = types.TextDocumentContentChangePartial(range=types.Range(there, there), text=key)
        self._client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
        self._line, self._text = (self._line + 1, "") if end else (self._line, self._text + key)
        return types.Position(self._line, len(self._text))

    async def ask(self, position: types.Position, id: str, cancel_after_s: float | None) -> None:
        """One request, perhaps taken back. One that is lost has no outcome."""
        self.sent += 1
        kind = types.InlineCompletionTriggerKind.Invoked
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(kind), types.TextDocumentIdentifier(self._uri), position
        )
        answer = self._client.protocol.send_request_async("textDocument/inlineCompletion", params, id)
        asked = asyncio.ensure_future(answer)
        started = 0.0
        if cancel_after_s is not None:
            await asyncio.wait([asked], timeout=cancel_after_s)
            if not asked.done():
                started = time.perf_counter()
                self._client.cancel_request(types.CancelParams(id))
        try:
            result = await asyncio.wait_for(asked, LOST_S)
            self.outcomes["shown" if result.items else "nothing"] += 1
        except JsonRpcRequestCancelled:
            self.outcomes["cancelled"] += 1
            if started:
                self.cancel_ms.append((time.perf_counter() - started) * 1000)

    async def cancel_to_idle(self) -> float | None:
        """Milliseconds from taking back a request whose model is at work until the model is at rest.

        None if the answer came before the model was seen at work.
        """
        asked = asyncio.create_task(self.ask(self.press(), f"idle-{self._version}", None))
        while not await self._is_busy():
            if asked.done():
                return None
        started = time.perf_counter()
        self._client.cancel_request(types.CancelParams(f"idle-{self._version}"))
        while await self._is_busy():
            pass
        waited = (time.perf_counter() - started) * 1000
        await asyncio.wait([asked])
        return waited

    async def _is_busy(self) -> bool:
        return bool((await self._client.protocol.send_request_async("submodel/status", {})).isBusy)


async def run(bundle: Path, keys: int, rate: float, threads: int | None) -> dict[str, Any]:
    """Start a server, let the storm pass over it, and look at what is left."""
    client = LanguageClient("storm", "1")
    await client.start_io(*python_module("submodel"), "serve", "--stdio", "--bundle", str(bundle))
    inline = types.TextDocumentClientCapabilities(inline_completion=types.InlineCompletionClientCapabilities())
    await client.initialize_async(
        types.InitializeParams(
            capabilities=types.ClientCapabilities(text_document=inline),
            initialization_options={
                "threads": threads,
                "care": {"onBattery": "full"},
                "experimental": {"threshold": {"confidence": 0}},  # each answer is to take its time
            },
        )
    )
    client.initialized(types.InitializedParams())
    await until_ready(client)
    storm = Storm(client)
    storm.open()
    rng = random.Random(1)
    token_ms = await _token_ms(client, storm)
    waits_ms = [await storm.cancel_to_idle() for _ in range(IDLE_SAMPLES)]
    idle_ms = [wait_ms for wait_ms in waits_ms if wait_ms is not None]
    memory = [await _memory(client)]
    tasks: set[asyncio.Task[None]] = set()
    most_waiting, began = 0, time.perf_counter()
    for key in range(keys):
        position = storm.press()
        cancel_after_s = rng.uniform(0, 0.05) if rng.random() < 1 / 3 else None
        task = asyncio.create_task(storm.ask(position, str(key), cancel_after_s))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        most_waiting = max(most_waiting, len(tasks))
        await asyncio.sleep(max(0.0, began + (key + 1) / rate - time.perf_counter()))
        if key % (keys // 4 or 1) == 0:
            memory.append(await _memory(client))
    while tasks:
        await asyncio.wait(tasks)
    memory.append(await _memory(client))
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()  # type: ignore[no-untyped-call]
    return {
        "keys": keys,
        "rate": rate,
        "outcomes": dict(storm.outcomes),
        "lost": storm.sent - storm.outcomes.total(),
        "most_waiting": most_waiting,
        "cancel_to_answer_ms_p99": percentiles(storm.cancel_ms, 99)["p99"],
        "cancel_to_idle_ms": {
            **percentiles(idle_ms, 50, 99),
            "samples": len(idle_ms),
            "answered_before": len(waits_ms) - len(idle_ms),
        },
        "token_ms": token_ms,
        "memory_bytes": memory,
    }


async def _token_ms(client: LanguageClient, storm: Storm) -> Any:
    """Time a token, by answers to a prompt that is in the KV cache but for its last character."""
    steps = []
    for number in range(6):
        await storm.ask(storm.press(), f"token-{number}", None)
        [decision] = (await client.protocol.send_request_async("submodel/explain", {})).decisions
        if decision.tokens.generated > 1:
            steps.append(decision.milliseconds.model / decision.tokens.generated)
    return percentiles(steps, 50)["p50"]


async def _memory(client: LanguageClient) -> int:
    return int((await client.protocol.send_request_async("submodel/status", {})).memoryBytes)


def percentiles(values: list[float], *shares: int) -> dict[str, Any]:
    """Return those of the values, each None if there are no values."""
    return {f"p{share}": round(float(np.percentile(values, share)), 2) if values else None for share in shares}


def main() -> None:
    """Run it and keep the figures; exits with 1 if a request was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    figures = asyncio.run(run(arguments.bundle, arguments.keys, arguments.rate, arguments.threads))
    command = f"python -m benchmarks.storm {' '.join(sys.argv[1:])}"
    write_result("storm", {"command": command, **figures})
    print(json.dumps(figures, indent=2))
    sys.exit(bool(figures["lost"]))


if __name__ == "__main__":
    main()

"""Hours' worth of requests at a real server: memory, descriptors and latency at the start and at the end.

    python -m benchmarks.robustness.soak [BUNDLE] --requests 100000 --documents 1000

Without a bundle it makes the tests' tiny one, so that the protocol and its bookkeeping are what is at work, not the
model. Requests come one after the other, over all documents, between edits of every kind; one in ten is taken back, one
in twenty is of a document that was closed. Memory is what the system says of the process. Writes
benchmarks/results/soak.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient

from benchmarks.builds import write_result
from contract.children import python_module

WARM = 10_000  # requests before the first figures: caches are full then


async def run(bundle: Path, requests: int, documents: int, seed: int) -> dict[str, Any]:
    """Start the server, ask it, and look at it from outside."""
    client = LanguageClient("soak", "1")
    await client.start_io(*python_module("submodel"), "serve", "--stdio", "--bundle", str(bundle))
    assert client._server is not None
    process = psutil.Process(client._server.pid)
    inline = types.TextDocumentClientCapabilities(inline_completion=types.InlineCompletionClientCapabilities())
    trigger = {"debounceMinMs": 0, "debounceMaxMs": 0, "budgetMs": 60_000}
    switches = {"trigger": trigger, "threshold": {"confidence": 0}, "maxNewTokens": 4}
    await client.initialize_async(
        types.InitializeParams(
            capabilities=types.ClientCapabilities(text_document=inline),
            initialization_options={"threads": 1, "care": {"onBattery": "full"}, "experimental": switches},
        )
    )
    client.initialized(types.InitializedParams())
    rng = random.Random(seed)
    texts = [f"# file {number}\n" + "value = compute(name)\n" * rng.randrange(5, 200) for number in range(documents)]
    for number, text in enumerate(texts):
        item = types.TextDocumentItem(_uri(number), "plaintext", 1, text)
        client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    figures: dict[str, Any] = {"requests": requests, "documents": documents}
    times: list[float] = []
    outcomes = {"shown": 0, "nothing": 0, "cancelled": 0}
    warm = min(WARM, max(1, requests // 10))
    began = time.perf_counter()
    for number in range(requests):
        which = rng.randrange(documents)
        if rng.random() < 0.05:
            _reopen(client, which, texts[which])
        else:
            _type(client, which, number, rng)
        started = time.perf_counter()
        outcome = await _ask(client, which, str(number), is_taken_back=rng.random() < 0.1)
        outcomes[outcome] += 1
        if outcome != "cancelled":
            times.append((time.perf_counter() - started) * 1000)
        if number + 1 == warm:
            figures["after_first"] = {"requests": warm, **_look(process), **_percentiles(times)}
            times = []
        if number % 10_000 == 9_999:
            print(f"{number + 1}: {_look(process)}", file=sys.stderr, flush=True)
    last = times[-max(1, warm) :]
    figures["at_end"] = {"requests": requests, **_look(process), **_percentiles(last)}
    figures["outcomes"], figures["seconds"] = outcomes, round(time.perf_counter() - began, 1)
    first, end = figures["after_first"], figures["at_end"]
    figures["drift"] = {
        "rss_bytes": end["rss_bytes"] - first["rss_bytes"],
        "descriptors": end["descriptors"] - first["descriptors"],
        "ms_p50": round(end["ms_p50"] - first["ms_p50"], 2),
        "ms_p95": round(end["ms_p95"] - first["ms_p95"], 2),
    }
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()  # type: ignore[no-untyped-call]
    return figures


def _uri(number: int) -> str:
    return f"file:///soak/file_{number}.txt"


def _type(client: LanguageClient, which: int, version: int, rng: random.Random) -> None:
    """A change at the start: text goes in and out, so that documents keep their size."""
    text = rng.choice(["name = ", "return ", "x", "self.", "\n"])
    there, end = types.Position(0, 0), types.Position(0, rng.choice([0, 2, 4, 8]))
    change = types.TextDocumentContentChangePartial(range=types.Range(there, end), text=text)
    document = types.VersionedTextDocumentIdentifier(version + 2, _uri(which))
    client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))


def _reopen(client: LanguageClient, which: int, text: str) -> None:
    client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(_uri(which))))
    item = types.TextDocumentItem(_uri(which), "plaintext", 1, text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(item))


async def _ask(client: LanguageClient, which: int, id: str, *, is_taken_back: bool) -> str:
    params = types.InlineCompletionParams(
        types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
        types.TextDocumentIdentifier(_uri(which)),
        types.Position(int(id) % 3, 6),
    )
    answer = asyncio.ensure_future(client.protocol.send_request_async("textDocument/inlineCompletion", params, id))
    if is_taken_back:
        await asyncio.sleep(0)
        client.cancel_request(types.CancelParams(id))
    try:
        return "shown" if (await answer).items else "nothing"
    except JsonRpcException:
        return "cancelled"


def _look(process: psutil.Process) -> dict[str, int]:
    return {"rss_bytes": process.memory_info().rss, "descriptors": process.num_fds(), "threads": process.num_threads()}


def _percentiles(times: list[float]) -> dict[str, float]:
    return {f"ms_p{share}": round(float(np.percentile(times or [0.0], share)), 2) for share in (50, 95)}


def main() -> None:
    """Run it and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--documents", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-result", action="store_true", help="a short look, whose figures are not kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        bundle = arguments.bundle
        if bundle is None:
            from testbed.bundles import make_tiny_bundle

            bundle = Path(room) / "bundle"
            make_tiny_bundle(bundle, Path(room) / "checkpoint")
        figures = asyncio.run(run(bundle, arguments.requests, arguments.documents, arguments.seed))
    command = f"python -m benchmarks.robustness.soak {' '.join(sys.argv[1:])}"
    if not arguments.no_result:
        write_result("soak", {"command": command, **figures})
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

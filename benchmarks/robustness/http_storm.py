"""The same places asked over HTTP and as a language server, in turns; then a storm of four HTTP clients.

    python -m benchmarks.robustness.http_storm BUNDLE [--places 200] [--requests 10000] [--rate 50]

The bundle lies in `.submodel/bundle` of its repository. The clients hang up on a third of the storm's requests. Each
other one is answered or, if its client asked again, refused as superseded. Writes benchmarks/results/http-storm.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from benchmarks.builds import write_result
from benchmarks.machine import describe_machine, describe_versions
from contract.children import python_module
from lsp_server.http.guard import read_token

CLIENTS = ("llama.vim", "minuet", "continue", "zed")
HOST = "127.0.0.1"
WORDS = ("self", "value", "return", "request", "open", "name", "path", "index", "compute", "update")


class Http:
    """A server over HTTP, asked as plug-ins ask it: a connection for each request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._token = read_token()[0]

    async def ask(self, text: str, client: str, hang_up_s: float | None = None) -> tuple[int, float, str]:
        """Status (0: hung up), milliseconds to the answer's first byte, and the text."""
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection(HOST, self._port)
        body = json.dumps({"prompt": text, "suffix": ""}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {client}\r\nConnection: close\r\n"
        writer.write(
            f"{head}Authorization: Bearer {self._token}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        try:
            first = await asyncio.wait_for(reader.readline(), hang_up_s)
            waited_ms = (time.perf_counter() - began) * 1000
            content = (await reader.read()).partition(b"\r\n\r\n")[2]
            status = int(first.split()[1])
            return status, waited_ms, json.loads(content)["choices"][0]["text"] if status == 200 else ""
        except TimeoutError:
            return 0, 0.0, ""
        finally:
            writer.close()


class Editor:
    """A language server with one document that is typed into."""

    def __init__(self, client: LanguageClient) -> None:
        self._client = client
        self._version = 1

    async def begin(self, folder: Path) -> None:
        """Open an empty document, and wait for the bundle."""
        inline = types.TextDocumentClientCapabilities(inline_completion=types.InlineCompletionClientCapabilities())
        await self._client.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(text_document=inline),
                workspace_folders=[types.WorkspaceFolder(folder.as_uri(), "storm")],
                initialization_options={"experimental": {"care": {"prefetch": False, "readAhead": False}}},
            )
        )
        self._client.initialized(types.InitializedParams())
        while (await self._client.protocol.send_request_async("submodel/status", {})).state != "ready":
            await asyncio.sleep(0.1)
        item = types.TextDocumentItem("untitled:storm", "plaintext", 1, "")
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    async def ask(self, text: str) -> tuple[float, str]:
        """Milliseconds to the answer, and the text."""
        self._version += 1
        document = types.VersionedTextDocumentIdentifier(self._version, "untitled:storm")
        whole = types.TextDocumentContentChangeWholeDocument(text)
        self._client.text_document_did_change(types.DidChangeTextDocumentParams(document, [whole]))
        lines = text.split("\n")
        began = time.perf_counter()
        answer = await self._client.text_document_inline_completion_async(
            types.InlineCompletionParams(
                context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
                text_document=types.TextDocumentIdentifier("untitled:storm"),
                position=types.Position(len(lines) - 1, len(lines[-1])),
            )
        )
        waited_ms = (time.perf_counter() - began) * 1000
        items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
        return waited_ms, str(items[0].insert_text) if items else ""


def typed(rng: random.Random, text: str) -> str:
    """The text with one more word or line."""
    return text + rng.choice([f"{rng.choice(WORDS)} ", f"{rng.choice(WORDS)}(", "\n    "])


async def in_turns(http: Http, editor: Editor, places: int) -> dict[str, Any]:
    """Each place is asked of both; who goes first changes."""
    rng, text = random.Random(0), "def storm(value):\n    "
    over_http, as_server, same = [], [], 0
    for place in range(places):
        text = typed(rng, text)[-4000:]
        if place % 2:
            _, http_ms, one = await http.ask(text, "in turns")
            lsp_ms, other = await editor.ask(text)
        else:
            lsp_ms, other = await editor.ask(text)
            _, http_ms, one = await http.ask(text, "in turns")
        over_http.append(http_ms)
        as_server.append(lsp_ms)
        same += one == other
    differences = [one - other for one, other in zip(over_http, as_server, strict=True)]
    of_http, of_server = summary(over_http), summary(as_server)
    return {
        "places": places,
        "same_text": same,
        "http_ms": of_http,
        "language_server_ms": of_server,
        "p95_ratio": round(of_http["p95"] / of_server["p95"], 2),
        "difference_ms": summary(differences),
    }


async def storm(http: Http, requests: int, rate: float) -> dict[str, Any]:
    """All clients type at once; a third of their requests are hung up on."""
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in CLIENTS}
    waited: list[float] = []

    async def one(client: str, text: str, hang_up_s: float | None) -> None:
        status, waited_ms, _ = await http.ask(text, client, hang_up_s)
        outcomes[client][{0: "hung up", 200: "answered", 499: "superseded"}.get(status, str(status))] += 1
        if status == 200:
            waited.append(waited_ms)

    async def type_on(client: str) -> None:
        rng, text, tasks = random.Random(client), f"# {client}\n", []
        for _ in range(requests // len(CLIENTS)):
            text = typed(rng, text)[-4000:]
            hang_up_s = rng.uniform(0, 0.1) if rng.random() < 1 / 3 else None
            tasks.append(asyncio.ensure_future(one(client, text, hang_up_s)))
            await asyncio.sleep(rng.expovariate(rate / len(CLIENTS)))
        await asyncio.gather(*tasks)

    await asyncio.gather(*map(type_on, CLIENTS))
    total = sum(sum(counts.values()) for counts in outcomes.values())
    return {
        "requests": total,
        "rate": rate,
        "outcomes": {name: dict(counts) for name, counts in outcomes.items()},
        "answered_ms": summary(waited),
    }


def summary(values: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2)}


async def run(bundle: Path, places: int, requests: int, rate: float) -> dict[str, Any]:
    """Start both servers and ask them."""
    folder = bundle.absolute().parents[1]
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    command = [*python_module("submodel"), "serve", "--http", f"{HOST}:{port}", "--threads", "1"]
    server = await asyncio.create_subprocess_exec(*command, cwd=folder)
    http, client = Http(port), LanguageClient("storm", "1")
    try:
        await client.start_io(*python_module("submodel"), "serve", "--stdio", "--threads", "1")
        editor = Editor(client)
        await editor.begin(folder)
        while True:
            try:
                if (await http.ask("x = ", "begin"))[0] == 200:
                    break
            except ConnectionError:
                await asyncio.sleep(0.1)
        figures = {"in_turns": await in_turns(http, editor, places), "storm": await storm(http, requests, rate)}
        status, _, text = await http.ask("def after(value):\n    return ", "after")
        figures["after"] = {"status": status, "has_text": text != ""}
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]
    finally:
        server.terminate()
        await server.wait()
    return figures


def main() -> None:
    """Run it and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--output", default="http-storm", help="the name of the file of results")
    arguments = parser.parse_args()
    figures = asyncio.run(run(arguments.bundle, arguments.places, arguments.requests, arguments.rate))
    command = f"python -m benchmarks.robustness.http_storm {' '.join(sys.argv[1:])}"
    document = {"command": command, **figures, "machine": describe_machine(), "versions": describe_versions()}
    write_result(arguments.output, document)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

"""The HTTP endpoint beside the language server: the same places in turns, one typist each, then four clients at once.

    python -m benchmarks.robustness.http_storm BUNDLE [--places 200] [--alone 500] [--requests 10000] [--rate 10]

The bundle lies in `.submodel/bundle` of its repository.

- in_turns: each place is asked of both, without haste.
- down_a_file: one client goes down a file of 600 lines, and sends the 256 lines above, as llama.vim does.
- alone: one client types at a quarter of the rate, to the endpoint and to the language server in turns of 50 requests.
- storm: four clients type to the endpoint. It says how many requests were lost, and of each client how many were
  answered, the longest wait, the longest time without an answer, and what the server holds afterwards.

A third of the requests of `alone` and `storm` is taken back: the connection is cut, or the request cancelled. A request
is superseded if its client asks again before its answer comes. It is lost if its connection ends without a word, or
if it has no answer after 30 s. Writes benchmarks/results/http-storm.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import psutil
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled
from pygls.lsp.client import LanguageClient

from benchmarks.builds import write_result
from benchmarks.robustness.storm import LOST_S, percentiles
from contract.children import python_module
from laboratory.replay.server_session import until_ready
from lsp_server.http.guard import read_token

CLIENTS = ("llama.vim", "minuet", "continue", "zed")
HOST = "127.0.0.1"
TURN = 50  # requests
FILE_CHARACTERS = 4000  # then a client goes on to a new file
FILE_LINES, SENT_LINES = 600, 256
# Outcomes; others are a status or an error's name.
HUNG_UP, ANSWERED, SUPERSEDED, LOST = "hung up", "answered", "superseded", "lost"
WORDS = ("self", "value", "return", "request", "open", "name", "path", "index", "compute", "update")


# From a text and the seconds after which it is taken back to an outcome, milliseconds, and the answer's text.
Ask = Callable[[str, float | None], Awaitable[tuple[str, float, str]]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What became of a request."""

    outcome: str
    waited_ms: float
    ended_s: float


class Http:
    """A server over HTTP, asked as plug-ins ask it: a connection for each request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._token = read_token()[0]
        self._sent: Counter[str] = Counter()

    def client(self, name: str) -> Ask:
        """The endpoint as one client asks it."""
        return lambda text, hang_up_s: self.ask(text, name, hang_up_s)

    async def ask(self, text: str, client: str, hang_up_s: float | None = None) -> tuple[str, float, str]:
        """The outcome, milliseconds to the answer's first byte, and the text."""
        self._sent[client] += 1
        number, began = self._sent[client], time.perf_counter()
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
            if not first:
                return LOST, waited_ms, ""
            if (status := int(first.split()[1])) != 200:
                return str(status), waited_ms, ""
            answer = json.loads(content)["choices"][0]["text"]
            is_superseded = not answer and self._sent[client] > number
            return SUPERSEDED if is_superseded else ANSWERED, waited_ms, answer
        except TimeoutError:
            return HUNG_UP, 0.0, ""
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
        await until_ready(self._client)
        item = types.TextDocumentItem("untitled:storm", "plaintext", 1, "")
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    async def ask(self, text: str, cancel_s: float | None = None) -> tuple[str, float, str]:
        """The outcome (a cancelled request was hung up), milliseconds to the answer, and the text."""
        self._version += 1
        version = self._version
        document = types.VersionedTextDocumentIdentifier(self._version, "untitled:storm")
        whole = types.TextDocumentContentChangeWholeDocument(text)
        self._client.text_document_did_change(types.DidChangeTextDocumentParams(document, [whole]))
        lines = text.split("\n")
        began = time.perf_counter()
        params = types.InlineCompletionParams(
            context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
            text_document=types.TextDocumentIdentifier("untitled:storm"),
            position=types.Position(len(lines) - 1, len(lines[-1])),
        )
        method = types.TEXT_DOCUMENT_INLINE_COMPLETION
        asked = asyncio.ensure_future(self._client.protocol.send_request_async(method, params, str(version)))
        await asyncio.wait([asked], timeout=cancel_s)
        if not asked.done():
            self._client.cancel_request(types.CancelParams(str(version)))
        try:
            answer = await asked
        except JsonRpcRequestCancelled:
            return HUNG_UP, 0.0, ""
        waited_ms = (time.perf_counter() - began) * 1000
        items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
        outcome = ANSWERED if version == self._version else SUPERSEDED
        return outcome, waited_ms, str(items[0].insert_text) if items else ""


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
            _, lsp_ms, other = await editor.ask(text)
        else:
            _, lsp_ms, other = await editor.ask(text)
            _, http_ms, one = await http.ask(text, "in turns")
        over_http.append(http_ms)
        as_server.append(lsp_ms)
        same += one == other
    differences = [one - other for one, other in zip(over_http, as_server, strict=True)]
    of_http, of_server = percentiles(over_http, 50, 95), percentiles(as_server, 50, 95)
    return {
        "places": places,
        "same_text": same,
        "http_ms": of_http,
        "language_server_ms": of_server,
        "p95_ratio": round(of_http["p95"] / of_server["p95"], 2),
        "difference_ms": percentiles(differences, 50, 95),
    }


async def down_a_file(http: Http) -> dict[str, Any]:
    """Each line is asked for; the text that is sent begins one line further down each time."""
    lines = [f"value_{number} = compute({number}, {number + 1})" for number in range(FILE_LINES)]
    waits_ms = []
    for line in range(SENT_LINES, FILE_LINES):
        _, waited_ms, _ = await http.ask("\n".join([*lines[line - SENT_LINES : line], "value_"]), "down a file")
        waits_ms.append(waited_ms)
    return {"lines": FILE_LINES, "sent_lines": SENT_LINES, "http_ms": percentiles(waits_ms, 50, 95)}


def typing(client: str, rate: float) -> Iterator[tuple[str, float | None, float]]:
    """Without end: the text that a client asks about, after how long it takes that back, and its pause, in seconds."""
    rng, text = random.Random(client), ""
    while True:
        text = typed(rng, text if 0 < len(text) < FILE_CHARACTERS else f"# {client}\n")
        yield text, rng.uniform(0, 0.1) if rng.random() < 1 / 3 else None, rng.expovariate(rate)


async def type_on(ask: Ask, keys: Iterator[tuple[str, float | None, float]]) -> list[Asked]:
    """Ask at each key, whether or not the last answer has come; what became of each, in the order of their ends."""
    ended: list[Asked] = []

    async def one(text: str, hang_up_s: float | None) -> None:
        try:
            outcome, waited_ms, _ = await asyncio.wait_for(ask(text, hang_up_s), LOST_S)
        except TimeoutError:
            outcome, waited_ms = LOST, LOST_S * 1000
        except OSError as error:
            outcome, waited_ms = type(error).__name__, 0.0
        ended.append(Asked(outcome=outcome, waited_ms=waited_ms, ended_s=time.perf_counter()))

    tasks = []
    for text, hang_up_s, pause_s in keys:
        tasks.append(asyncio.ensure_future(one(text, hang_up_s)))
        await asyncio.sleep(pause_s)
    await asyncio.gather(*tasks)
    return ended


async def alone(http: Http, editor: Editor, requests: int, rate: float) -> dict[str, Any]:
    """One client types the same to both, in turns."""
    sides: dict[str, Ask] = {"http": http.client("alone"), "language_server": editor.ask}
    keys = {name: islice(typing("alone", rate), requests) for name in sides}
    found: dict[str, list[Asked]] = {name: [] for name in sides}
    for _ in range(0, requests, TURN):
        for name, ask in sides.items():
            found[name] += await type_on(ask, islice(keys[name], TURN))
    figures = {name: describe(ended) for name, ended in found.items()}
    return {
        "requests_each": requests,
        "rate": rate,
        **figures,
        "p95_ratio": round(figures["http"]["answered_ms"]["p95"] / figures["language_server"]["answered_ms"]["p95"], 2),
    }


async def storm(http: Http, requests: int, rate: float, server: psutil.Process) -> dict[str, Any]:
    """All clients type at once."""
    before, began = holds(server), time.perf_counter()
    each, share = requests // len(CLIENTS), rate / len(CLIENTS)
    typists = [type_on(http.client(name), islice(typing(name, share), each)) for name in CLIENTS]
    ended = dict(zip(CLIENTS, await asyncio.gather(*typists), strict=True))
    seconds = time.perf_counter() - began
    await asyncio.sleep(1)  # the last connections end
    of_clients = {name: describe(asked, began) for name, asked in ended.items()}
    shares = [client["answered_share"] for client in of_clients.values()]
    return {
        "requests": each * len(CLIENTS),
        "rate": rate,
        "seconds": round(seconds, 1),
        "lost": sum(asked.outcome == LOST for client in ended.values() for asked in client),
        "clients": of_clients,
        "lowest_to_highest_share": round(min(shares) / (max(shares) or 1), 2),
        "all": describe([asked for client in ended.values() for asked in client]),
        "server_before": before,
        "server_after": holds(server),
    }


def describe(ended: list[Asked], began_s: float | None = None) -> dict[str, Any]:
    """Outcomes, the share answered of what was not taken back, waits; from `began_s`, the longest without answers."""
    counts = Counter(asked.outcome for asked in ended)
    answered = [asked for asked in ended if asked.outcome == ANSWERED]
    waits = [asked.waited_ms for asked in answered]
    found: dict[str, Any] = {
        "outcomes": dict(counts),
        "answered_share": round(len(answered) / (len(ended) - counts[HUNG_UP]), 3),
    }
    if len(waits) > 1:
        found["answered_ms"] = {**percentiles(waits, 50, 95), "longest": round(max(waits), 2)}
    if began_s is not None:
        times = [began_s, *(asked.ended_s for asked in answered), ended[-1].ended_s]
        found["longest_without_answer_s"] = round(max(b - a for a, b in pairwise(times)), 2)
    return found


def holds(server: psutil.Process) -> dict[str, int]:
    """What a process has open."""
    return {"files": server.num_fds(), "threads": server.num_threads(), "memory_bytes": server.memory_info().rss}


async def run(bundle: Path, places: int, by_one: int, requests: int, rate: float) -> dict[str, Any]:
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
                if (await http.ask("x = ", "begin"))[0] == ANSWERED:
                    break
            except ConnectionError:
                await asyncio.sleep(0.1)
        figures = {
            "in_turns": await in_turns(http, editor, places),
            "down_a_file": await down_a_file(http),
            "alone": await alone(http, editor, by_one, rate / len(CLIENTS)),
            "storm": await storm(http, requests, rate, psutil.Process(server.pid)),
        }
        outcome, _, text = await http.ask("def after(value):\n    return ", "after")
        figures["after"] = {"outcome": outcome, "has_text": text != ""}
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]
    finally:
        server.terminate()
        await server.wait()
    return figures


def main() -> None:
    """Run it and keep the figures; exits with 1 if a request of the storm was lost or an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--alone", type=int, default=500, help="requests of one client, to each of both")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=10, help="requests a second of all four clients together")
    parser.add_argument("--output", default="http-storm", help="the name of the file of results")
    arguments = parser.parse_args()
    figures = asyncio.run(run(arguments.bundle, arguments.places, arguments.alone, arguments.requests, arguments.rate))
    command = f"python -m benchmarks.robustness.http_storm {' '.join(sys.argv[1:])}"
    write_result(arguments.output, {"command": command, **figures})
    print(json.dumps(figures, indent=2))
    sys.exit(not figures["storm"]["all"]["outcomes"].keys() <= {HUNG_UP, ANSWERED, SUPERSEDED})


if __name__ == "__main__":
    main()

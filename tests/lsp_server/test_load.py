"""The server under load: giant and many documents, edits out of order, an engine that fails, clients that vanish."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from contract.bundle.bundle import Bundle
from contract.errors import SubmodelError
from lsp_server import open_documents as documents_module
from lsp_server.bounded_streams import LOST_CHANGE, MAX_MESSAGE_BYTES, BoundedInput
from lsp_server.decoding.providers import Provider, choose_provider
from lsp_server.loaded_bundles import MAX_CRASHES, BundleState
from lsp_server.open_documents import MAX_DOCUMENT_CHARS, Document
from lsp_server.options import ServerOptions, TriggerOptions
from lsp_server.positions import Encoding
from lsp_server.request import Completion, CompletionRequest
from lsp_server.serve_errors import EngineCrash, ServeError
from lsp_server.server import CompletionServer
from lsp_server.service import CompletionService
from lsp_server.transports import create_server


class Client:
    """Speaks to a server in this process, message by message, without a stream."""

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.server: CompletionServer = create_server(options or ServerOptions(), "1")
        self.written: list[dict[str, Any]] = []
        self.server.protocol.set_writer(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        self.written.append(json.loads(data.partition(b"\r\n\r\n")[2]))

    def send(self, method: str, params: object, id: object = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
        protocol = self.server.protocol
        protocol.handle_message(json.loads(json.dumps(message), object_hook=protocol.structure_message))

    async def ask(self, method: str, params: object, id: object) -> dict[str, Any]:
        self.send(method, params, id)
        while True:
            for answer in self.written:
                if answer.get("id") == id:
                    return answer
            await asyncio.sleep(0.001)

    def open(self, uri: str, text: str) -> None:
        item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.send("textDocument/didOpen", {"textDocument": item})

    def change(self, uri: str, *changes: dict[str, Any], version: int = 2) -> None:
        params = {"textDocument": {"uri": uri, "version": version}, "contentChanges": list(changes)}
        self.send("textDocument/didChange", params)

    async def complete(self, uri: str, line: int, character: int, id: object) -> Any:
        place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
        return await self.ask("textDocument/inlineCompletion", {**place, "context": {"triggerKind": 1}}, id)


def edit(line: int, character: int, text: str, end: tuple[int, int] | None = None) -> dict[str, Any]:
    last = end or (line, character)
    start = {"line": line, "character": character}
    return {"range": {"start": start, "end": {"line": last[0], "character": last[1]}}, "text": text}


def talk(
    test: Callable[[Client], Any],
    options: ServerOptions | None = None,
    capabilities: dict[str, Any] | None = None,
    name: str | None = "test",
    version: str | None = None,
) -> None:
    async def run() -> None:
        client = Client(options)
        try:
            params = {"capabilities": capabilities or {}, "processId": None, "rootUri": None}
            if name is not None:
                params["clientInfo"] = {"name": name, "version": version}
            await client.ask("initialize", params, 1)
            await asyncio.wait_for(test(client), 120)
        finally:
            client.server.close()

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("text", ["x = 1\n" * 8_500_000, "y" * 5_000_000], ids=["50 MB", "a line of 5 MB"])
def test_a_giant_document_is_not_kept_and_nothing_else_suffers(text: str) -> None:
    async def test(client: Client) -> None:
        client.open("file:///giant.py", text)
        client.open("file:///small.py", "x = 1\n")
        for number in range(100):
            client.change("file:///giant.py", edit(number, 0, "z"), version=number + 2)
        document = client.server.document("file:///giant.py")
        assert document is not None
        assert not document.is_kept
        assert document.source == ""
        answer = await client.complete("file:///giant.py", 3, 1, 2)
        assert answer["result"]["items"] == []
        [decision] = client.server.session.traces.newest()
        assert decision.rule == "document"
        client.change("file:///giant.py", {"text": "short = 1\n"})
        assert (document.source, document.is_kept) == ("short = 1\n", True)
        small = client.server.document("file:///small.py")
        assert small is not None
        assert small.source == "x = 1\n"

    talk(test)


def _a_change_that_is_no_change(client: Client) -> None:
    with pytest.raises(JsonRpcException):
        client.change("file:///a.py", {"range": "nowhere", "text": 1})


LOSSES: dict[str, Callable[[Client], None]] = {
    "passed over": lambda client: client.send(LOST_CHANGE, {"uri": "file:///a.py"}),
    "passed over, and it names no document": lambda client: client.send(LOST_CHANGE, {"uri": None}),
    "not to be read": _a_change_that_is_no_change,
    "of too many edits": lambda client: client.change("file:///a.py", *[edit(0, 0, "x")] * 3),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_is_suggested_from_a_text_of_which_a_change_is_lost(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(client: Client) -> None:
        client.open("file:///a.py", "x = 1\n")
        if "too many" in loss:
            monkeypatch.setattr(documents_module, "MAX_COPIED_CHARS", 17)
        LOSSES[loss](client)
        assert (await client.complete("file:///a.py", 0, 5, 2))["result"]["items"] == []
        [decision] = client.server.session.traces.newest()
        assert decision.rule == "document"
        assert decision.reason.endswith("open it again.")
        client.change("file:///a.py", {"text": "y = 2\n"})
        document = client.server.document("file:///a.py")
        assert document is not None
        assert (document.source, document.is_kept) == ("y = 2\n", True)

    talk(test)


def test_a_document_that_grows_too_long_is_given_up() -> None:
    item = types.TextDocumentItem("file:///a.py", "python", 1, "x")
    document = Document(item, Encoding.UTF16)
    there = types.Position(0, 1)
    text = "y" * (MAX_DOCUMENT_CHARS // 2)
    for _ in range(2):
        assert document.is_kept
        document.apply_change(types.TextDocumentContentChangePartial(range=types.Range(there, there), text=text))
    assert not document.is_kept
    assert document.is_too_long
    assert document.take_edits() == []
    document.apply_change(types.TextDocumentContentChangeWholeDocument("short"))
    assert (document.is_kept, document.is_too_long) == (True, False)


def test_edits_out_of_order_and_of_nothing_are_survived() -> None:
    rng = random.Random(0)

    async def test(client: Client) -> None:
        client.open("file:///a.py", "one\ntwo\r\nthree 😋\n")
        for number in range(2000):
            numbers = [rng.choice([0, 1, 2, 5, 1000, 2**31 - 1]) for _ in range(4)]
            change = edit(numbers[0], numbers[1], rng.choice(["", "x", "\n", "\ud83d", "é"]), (numbers[2], numbers[3]))
            client.change("file:///a.py", change, version=rng.choice([0, 5, number, 1, 2**31 - 1]))
        client.change("file:///never-opened.py", edit(0, 0, "x"))
        client.change("file:///a.py", {"text": "whole\n"})
        document = client.server.document("file:///a.py")
        assert document is not None
        assert document.source == "whole\n"
        answer = await client.complete("file:///a.py", 2**31 - 1, 2**31 - 1, 2)
        assert "result" in answer

    talk(test)


@pytest.mark.parametrize("params", [{}, None, [], {"textDocument": 7}, {"textDocument": {"uri": []}}, "text"])
def test_a_request_that_can_t_be_read_is_refused_by_its_id(params: object) -> None:
    async def test(client: Client) -> None:
        with pytest.raises(Exception):  # noqa: B017 - what pygls' loop catches and logs
            client.send("textDocument/inlineCompletion", params, 7)
        assert any(answer.get("id") == 7 and "error" in answer for answer in client.written)
        assert "result" in await client.ask("submodel/status", {}, 8)

    talk(test)


class Broken:
    """An engine that fails so many times, as ONNX Runtime or the memory might."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.build = ""
        self.choice = choose_provider(Provider.AUTO, [], [])

    def complete(self, *_: object, **__: object) -> Any:
        if self.failures:
            self.failures -= 1
            raise EngineCrash("non-zero status code\nsecond line")
        return Completion(text="fine")


def ask_often(engine: Broken, count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], CompletionService]:
    folder = Path("/w/.submodel/bundle")
    monkeypatch.setattr("lsp_server.completion.open_completer", lambda path, **options: engine)
    service = CompletionService()

    async def test() -> list[Any]:
        requests = [CompletionRequest(text="x", offset=1, bundle=folder)] * count
        answers = []
        for request in requests:
            answers += await asyncio.gather(service.complete(request), return_exceptions=True)
        return answers

    try:
        return asyncio.run(test()), service
    finally:
        service.close()


@pytest.mark.slow
def test_an_engine_that_fails_once_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, service = ask_often(Broken(1), 3, monkeypatch)
    assert "failed (non-zero status code); it is loaded again." in str(answers[0])
    assert [answer.text for answer in answers[1:]] == ["fine", "fine"]
    assert [status.state for status in service.bundles.values()] == [BundleState.READY]


@pytest.mark.slow
def test_an_engine_that_always_fails_is_given_up_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, service = ask_often(Broken(10**9), MAX_CRASHES + 5, monkeypatch)
    assert all(isinstance(answer, ServeError) for answer in answers)
    [status] = service.bundles.values()
    assert status.state is BundleState.FAILED
    assert f"{MAX_CRASHES} times in a row" in str(status.error)


def test_a_load_that_fails_in_a_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, **options: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("lsp_server.completion.open_completer", fail)
    service = CompletionService()
    with pytest.raises(SubmodelError, match="can't be loaded"):
        service.load(Path("/w/bundle"), None).result(10)
    assert service.bundles[Path("/w/bundle")].state is BundleState.FAILED
    service.close()


def test_a_server_whose_program_was_replaced_asks_for_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, **options: Any) -> Any:
        raise ImportError("cannot import name 'new' from 'contract.prompt'")

    monkeypatch.setattr("lsp_server.completion.open_completer", fail)
    service = CompletionService()
    with pytest.raises(SubmodelError, match=r"upgraded while this server ran.*'new'.*restart the language server"):
        service.load(Path("/w/bundle"), None).result(10)
    assert "build" not in str(service.bundles[Path("/w/bundle")].error)
    service.close()


class Endless(io.RawIOBase):
    """A client that promises more than it will ever send; counts what is asked for at once."""

    def __init__(self, size: int) -> None:
        self.left, self.most = size, 0

    def read(self, size: int = -1) -> bytes:
        self.most = max(self.most, size)
        given = min(size, self.left)
        self.left -= given
        return bytes(given)


def test_a_message_that_is_too_long_is_thrown_away_piece_by_piece() -> None:
    stream = Endless(MAX_MESSAGE_BYTES + 10)
    left = BoundedInput(stream).read(MAX_MESSAGE_BYTES + 1)  # type: ignore[arg-type]
    assert json.loads(left) == {"jsonrpc": "2.0", "method": LOST_CHANGE, "params": {"uri": None}}, "it may be a change"
    assert stream.most <= 1 << 20
    assert stream.left == 9
    assert BoundedInput(Endless(1000)).read(10**30) == b"", "the end of the stream"  # type: ignore[arg-type]


GARBAGE = [
    b"Content-Length: 99999999999999999999\r\n\r\n{}",
    b'Content-Length: 5\r\n\r\n{"a"',
    b"Content-Length: -1\r\n\r\n",
    b"\0" * 10_000,
    b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
    b"",
]


@pytest.mark.slow
@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_client_that_talks_nonsense_and_vanishes_ends_the_server(garbage: bytes) -> None:
    command = [sys.executable, "-m", "submodel", "serve", "--stdio"]
    done = subprocess.run(command, input=garbage, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    # pygls logs one for a message that can't be read. No other is allowed.
    assert done.stderr.count(b"Traceback") <= done.stderr.count(b"A message was passed over"), done.stderr.decode()


def test_the_server_outlives_a_bundle_whose_graph_is_garbage(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Hashes that are right, and bytes that are no model: as a stranger's bundle may be."""
    import shutil

    from contract.bundle.manifest import MODEL_FILE, read_manifest, write_manifest_of

    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.folder, folder)
    (folder / MODEL_FILE).write_bytes(os.urandom(1000))
    manifest = {name: value for name, value in read_manifest(folder).items() if name not in ("schema", "files")}
    write_manifest_of(folder, manifest)
    options = ServerOptions(bundle=folder, trigger=TriggerOptions(debounce_min_ms=0, debounce_max_ms=0))

    async def test(client: Client) -> None:
        client.open("file:///a.txt", "x = \n")
        for number in range(3):
            answer = await client.complete("file:///a.txt", 0, 4, 10 + number)
            assert answer["result"]["items"] == []
        assert (await client.ask("submodel/status", {}, 99))["result"]["state"] == "failed"

    talk(test, options)

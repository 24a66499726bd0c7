"""The server's protocol as a reader for the fuzzer: a client's messages, and an engine that is played."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pygls.exceptions import JsonRpcInternalError, JsonRpcInvalidParams, JsonRpcMethodNotFound

from contract.errors import SubmodelError
from lsp_server.options import ServerOptions, TriggerOptions
from lsp_server.request import Completion, CompletionRequest
from lsp_server.server import CompletionServer
from lsp_server.service import CompletionService
from lsp_server.transports import create_server
from testbed.fuzzing.reader import Reader, Shape


class Refused(SubmodelError):
    """A message that the protocol refused, as it should."""


class ProtocolReader(Reader):
    """Messages of a client to the server's own handlers, with an engine that is played.

    They go the way that they take from a stream: from JSON to pygls' objects to the handlers. A handler that raises is
    a failure, whatever the client sent. `exit` and `shutdown` are left out: they do what they say.
    """

    shape: Shape = "json"
    server: CompletionServer

    def prepare(self) -> None:
        """A message of each kind; a server that has been initialized."""
        self.loop = asyncio.new_event_loop()
        self.written: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self._start()
        logging.disable(logging.CRITICAL)  # until `close`, which nobody calls if a server can't be made
        uri = {"uri": URI}
        here = {"line": 1, "character": len("    return value")}
        span = {"start": {"line": 0, "character": 2}, "end": here}
        place = {"textDocument": uri, "position": here}
        item = {"item": {"command": {"arguments": [1]}}, "acceptedLength": 3}
        kinds: list[tuple[str, Any]] = [
            ("textDocument/didOpen", OPENED),
            ("textDocument/didChange", {"textDocument": {**uri, "version": 2}, "contentChanges": [
                {"range": span, "text": "y😋\n"}, {"text": TEXT}]}),
            ("textDocument/didClose", {"textDocument": uri}),
            ("workspace/didChangeConfiguration", {"settings": {"submodel": {
                "trigger": {"comments": False}, "experimental": {"trigger": {"debounceMinMs": 0}}, "threads": 1}}}),
            ("$/cancelRequest", {"id": 5}),
            ("textDocument/didShowCompletion", item),
            ("textDocument/didPartiallyAcceptCompletion", item),
            ("submodel/lostChange", uri),
        ]  # fmt: skip
        requests: list[tuple[str, Any]] = [
            ("textDocument/inlineCompletion", {**place, "context": {"triggerKind": 1}}),
            ("textDocument/inlineCompletion", {**place, "context": {"triggerKind": 2, "selectedCompletionInfo": {
                "range": span, "text": "value"}}}),
            ("textDocument/completion", {**place, "context": {"triggerKind": 1}}),
            ("submodel/status", {}),
            ("submodel/explain", {"textDocument": uri, "count": 3}),
            *(("workspace/executeCommand", {"command": f"submodel.{name}", "arguments": arguments})
              for name, arguments in (("accepted", [1]), ("statistics", [{"reset": True}]), ("snooze", [0.001]))),
        ]  # fmt: skip
        messages = [{"jsonrpc": "2.0", "method": method, "params": params} for method, params in kinds]
        messages += [{"jsonrpc": "2.0", "id": 5, "method": method, "params": params} for method, params in requests]
        messages.append({"jsonrpc": "2.0", "id": 3, "result": None})
        self.seeds = [json.dumps(message).encode() for message in messages]

    def write(self, data: bytes) -> None:
        """What the server sends."""
        self.written.append(json.loads(data.partition(b"\r\n\r\n")[2]))

    def read(self, data: bytes) -> None:
        """One message while a document is open, until nothing is to be done any more."""
        document = self.server.document(URI)
        if document is None or not document.is_kept:
            self._tell({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": OPENED})
        self.written.clear()
        self.errors.clear()
        refusal = self.loop.run_until_complete(self._handle(data))
        for error in self.errors:
            if isinstance(error, JsonRpcInternalError) or not isinstance(error, REFUSALS):
                raise error
        if refusal is not None or any("error" in answer for answer in self.written):
            raise Refused("The message was refused.")

    def close(self) -> None:
        """Let the server go."""
        self.server.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        logging.disable(logging.NOTSET)

    async def _handle(self, data: bytes) -> Exception | None:
        protocol = self.server.protocol
        refusal: Exception | None = None
        try:
            message = json.loads(data, object_hook=protocol.structure_message)
            if getattr(message, "method", None) not in ("exit", "shutdown", "initialize", "initialized"):
                protocol.handle_message(message)
        except Exception as error:  # as `pygls.io_.run_async`, which goes on
            refusal = error
        for _ in range(3):
            await asyncio.sleep(0)
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=5)
        return refusal

    def _start(self) -> None:
        options = ServerOptions(bundle=Path("/w/bundle"), trigger=TriggerOptions(debounce_min_ms=0, debounce_max_ms=0))
        self.server = create_server(options, "1")
        self.server.protocol.set_writer(self)
        self.server.service.close()
        self.server.service = self.server.session.service = PlayedService()
        self.server.report_server_error = lambda error, source: self.errors.append(error)  # type: ignore[method-assign]
        params = {"processId": None, "rootUri": None, "capabilities": {"workspace": {"configuration": False}}}
        self._tell({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})

    def _tell(self, message: dict[str, Any]) -> None:
        async def begin() -> None:
            protocol = self.server.protocol
            protocol.handle_message(json.loads(json.dumps(message), object_hook=protocol.structure_message))

        self.loop.run_until_complete(begin())


DONE: Future[None] = Future()
DONE.set_result(None)
REFUSALS = (JsonRpcInvalidParams, JsonRpcMethodNotFound, SubmodelError)  # of a message that makes no sense
TEXT = "def f(value):\n    return value\n\n\nclass A:\n    x = 1\n"
URI = "file:///w/a.py"
OPENED = {"textDocument": {"uri": URI, "languageId": "python", "version": 1, "text": TEXT}}


class PlayedService(CompletionService):
    """Answers at once, and loads nothing. What it does not play is the real service's, so that mypy compares them."""

    async def complete(
        self, request: CompletionRequest, unwanted: threading.Event | None = None, *, may_load: bool = True
    ) -> Completion:
        """The same text at every place."""
        assert 0 <= request.offset <= len(request.text)
        return Completion(text="foo(bar)", raw="foo(bar)")

    async def recall(self, request: CompletionRequest) -> Completion:
        """The same text at every place, another than the model's."""
        assert 0 <= request.offset <= len(request.text)
        return Completion(text="bar", raw="bar")

    def load(self, bundle_folder: Path, threads: int | None) -> Future[None]:
        """Loaded."""
        return DONE

    def unload(self, bundle_folder: Path | None = None, *, forget: bool = False) -> Future[None]:
        """Freed."""
        return DONE

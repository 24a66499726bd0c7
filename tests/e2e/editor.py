"""An editor for tests: pygls' client beside a server that is a process of its own, over stdio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from contract.bundle.bundle import Bundle
from lsp_server.completion import open_completer
from lsp_server.options import UNHURRIED
from lsp_server.positions import offset_at
from lsp_server.request import CompletionRequest

# `submodel serve`, which says at its end what it has loaded of the libraries that only building needs.
SERVE = """
import sys
from submodel.app import main
try:
    main()
finally:
    heavy = {"torch", "transformers", "onnx", "onnx_ir", "optimum", "safetensors", "gguf", "huggingface_hub"}
    found = str(sorted(heavy & set(sys.modules)))
    sys.stderr.write("loaded: " + found + chr(10))  # at once: a thread may log meanwhile
"""
# Time for an answer, and all of it: a random model is sure of nothing.
PATIENT: dict[str, dict[str, Any]] = {
    "care": {"onBattery": "full"},
    "experimental": {"trigger": {"budgetMs": 60_000}, "threshold": {"confidence": 0}},
}
COMMAND = (sys.executable, "-c", SERVE, "serve", "--threads", "1")
# Of no language that has a grammar, so that what the random model says is not cut to what parses.
TEXT = 'def greet(name):\n    face = "😋"; return \n'


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _patient(options: object) -> object:
    """The options, with time for an answer unless they say how much it has."""
    if options is None:
        return PATIENT
    if not isinstance(options, dict):
        return options
    return {**options, **{name: {**group, **options.get(name, {})} for name, group in PATIENT.items()}}


class Editor(LanguageClient):
    """A client with one file open that keeps what the server tells its user."""

    def __init__(self, workspace: Path) -> None:
        super().__init__("test-editor", "1")
        self.workspace = workspace
        self.uri = (workspace / "greet.txt").as_uri()
        self.messages: list[str] = []
        self.logged: list[str] = []
        self.stderr = b""
        self.text_version = 1
        self.trigger = types.InlineCompletionTriggerKind.Automatic
        self.progress_values: list[Any] = []
        self.statuses: list[Any] = []

        @self.feature(types.WINDOW_WORK_DONE_PROGRESS_CREATE)
        def create_progress(params: types.WorkDoneProgressCreateParams) -> None:
            pass

        @self.feature(types.PROGRESS)
        def note_progress(params: types.ProgressParams) -> None:
            self.progress_values.append(params.value)

        @self.feature("submodel/status")
        def note_status(params: Any) -> None:
            self.statuses.append(params.state)

        @self.feature(types.WINDOW_LOG_MESSAGE)
        def log_message(params: types.LogMessageParams) -> None:
            self.logged.append(params.message)

        @self.feature(types.WINDOW_SHOW_MESSAGE)
        def show_message(params: types.ShowMessageParams) -> None:
            self.messages.append(params.message)

    async def begin(
        self, text: str = TEXT, options: object = None, *, is_inline: bool = True, **capabilities: Any
    ) -> types.InitializeResult:
        folder = types.WorkspaceFolder(uri=self.workspace.as_uri(), name="workspace")
        if is_inline:
            inline = types.InlineCompletionClientCapabilities()
            capabilities["text_document"] = types.TextDocumentClientCapabilities(inline_completion=inline)
        result = await self.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(**capabilities),
                workspace_folders=[folder],
                # However busy the machine is, an answer has the time that it takes.
                initialization_options=_patient(options),
            )
        )
        self.initialized(types.InitializedParams())
        item = types.TextDocumentItem(uri=self.uri, language_id="plaintext", version=1, text=text)
        self.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return result

    def params(self, line: int, character: int) -> types.InlineCompletionParams:
        return types.InlineCompletionParams(
            text_document=types.TextDocumentIdentifier(self.uri),
            position=types.Position(line, character),
            context=types.InlineCompletionContext(self.trigger),
        )

    async def complete(self, line: int, character: int) -> list[str]:
        result = await self.text_document_inline_completion_async(self.params(line, character))
        assert isinstance(result, types.InlineCompletionList)
        here = types.Position(line, character)
        assert all(item.range == types.Range(here, here) for item in result.items)
        return [str(item.insert_text) for item in result.items]

    async def request(self, method: str, params: object = None) -> Any:
        """One of the server's own methods; pygls gives objects, which become dictionaries again."""
        return _plain(await self.protocol.send_request_async(method, params))

    async def execute(self, command: str, *arguments: object) -> Any:
        params = types.ExecuteCommandParams(command, list(arguments))
        return _plain(await self.workspace_execute_command_async(params))

    def change(self, text: str, line: int, character: int) -> None:
        """Put a text in."""
        self.text_version += 1
        there = types.Position(line, character)
        change = types.TextDocumentContentChangePartial(range=types.Range(there, there), text=text)
        document = types.VersionedTextDocumentIdentifier(version=self.text_version, uri=self.uri)
        self.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    async def end(self) -> None:
        await self.shutdown_async(None)
        self.exit(None)
        if self._server is not None:
            assert self._server.stderr is not None
            self.stderr = await self._server.stderr.read()
        await self.stop()


@asynccontextmanager
async def editing(workspace: Path, *arguments: str) -> AsyncIterator[Editor]:
    editor = Editor(workspace)
    await editor.start_io(*COMMAND, "--stdio", *arguments)
    assert editor._server is not None
    try:
        yield editor
        await editor.end()
    finally:
        if editor._server.returncode is None:  # the test failed
            editor._server.kill()
            await editor.stop()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), timeout=300))


def expected(bundle: Bundle, text: str, line: int, character: int) -> list[str]:
    request = CompletionRequest(text=text, offset=offset_at(text, line, character), options=UNHURRIED)
    return [open_completer(bundle.folder, threads=1).complete(request).text]

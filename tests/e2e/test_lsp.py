"""The server as editors meet it: a process of its own, spoken to by pygls' client over stdio and TCP."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled
from pygls.lsp.client import LanguageClient

from exporters.bundle import Bundle
from lsp_server.completion import open_completer
from lsp_server.positions import offset_at

# `submodel serve`, which says at its end what it has loaded of the libraries that only building needs.
SERVE = """
import sys
from submodel.app import main
try:
    main()
finally:
    heavy = {"torch", "transformers", "onnx", "onnx_ir", "optimum", "safetensors", "gguf", "huggingface_hub"}
    print("loaded:", sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
COMMAND = (sys.executable, "-c", SERVE, "serve", "--threads", "1")
# Of no language that has a grammar, so that what the random model says is not cut to what parses.
TEXT = 'def greet(name):\n    face = "😋"; return \n'


class Editor(LanguageClient):
    """A client with one file open that keeps what the server tells its user."""

    def __init__(self, workspace: Path) -> None:
        super().__init__("test-editor", "1")
        self.workspace = workspace
        self.uri = (workspace / "greet.txt").as_uri()
        self.messages: list[str] = []
        self.stderr = b""

        @self.feature(types.WINDOW_SHOW_MESSAGE)
        def show_message(params: types.ShowMessageParams) -> None:
            self.messages.append(params.message)

    async def begin(self, text: str = TEXT, options: object = None, **capabilities: Any) -> types.InitializeResult:
        folder = types.WorkspaceFolder(uri=self.workspace.as_uri(), name="workspace")
        result = await self.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(**capabilities),
                workspace_folders=[folder],
                initialization_options=options,
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
            context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
        )

    async def complete(self, line: int, character: int) -> list[str]:
        result = await self.text_document_inline_completion_async(self.params(line, character))
        assert isinstance(result, types.InlineCompletionList)
        here = types.Position(line, character)
        assert all(item.range == types.Range(here, here) for item in result.items)
        return [str(item.insert_text) for item in result.items]

    async def end(self) -> None:
        await self.shutdown_async(None)
        self.exit(None)
        if self._server is not None:
            assert self._server.stderr is not None
            self.stderr = await self._server.stderr.read()
        await self.stop()


@asynccontextmanager
async def editing(workspace: Path) -> AsyncIterator[Editor]:
    editor = Editor(workspace)
    await editor.start_io(*COMMAND, "--stdio")
    assert editor._server is not None
    try:
        yield editor
        await editor.end()
    finally:
        if editor._server.returncode is None:  # the test failed
            editor._server.kill()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), timeout=60))


@pytest.fixture
def workspace(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(tiny_bundle.folder, tmp_path / ".submodel" / "bundle")
    return tmp_path


def expected(bundle: Bundle, text: str, line: int, character: int) -> list[str]:
    return [open_completer(bundle.folder, threads=1).complete(text, offset_at(text, line, character)).text]


def test_answers_what_the_completer_answers_and_never_loads_torch(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            result = await editor.begin()
            assert result.capabilities.inline_completion_provider
            assert result.server_info and result.server_info.name == "submodel"
            assert await editor.complete(1, 24) == expected(tiny_bundle, TEXT, 1, 24) != [""]
        assert editor.messages == []
        assert b"loaded: []" in editor.stderr

    run(test)


def test_follows_edits_and_counts_in_utf16(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            end = types.Position(1, 24)
            change = types.TextDocumentContentChangePartial(range=types.Range(end, end), text="name\n    x = ")
            document = types.VersionedTextDocumentIdentifier(version=2, uri=editor.uri)
            editor.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
            changed = TEXT.replace("return ", "return name\n    x = ")
            assert await editor.complete(2, 8) == expected(tiny_bundle, changed, 2, 8)

    run(test)


def test_counts_in_the_encoding_that_the_client_prefers(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            general = types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf8])
            result = await editor.begin(general=general)
            assert result.capabilities.position_encoding == types.PositionEncodingKind.Utf8
            assert await editor.complete(1, 17) == expected(tiny_bundle, TEXT, 1, 15)
            assert await editor.complete(1, 15) != await editor.complete(1, 17)

    run(test)


def test_cancelled_and_overtaken_requests_are_answered_at_once(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            # The model is still loading, so that all of these wait.
            cancelled = editor.protocol.send_request_async("textDocument/inlineCompletion", editor.params(1, 20), "one")
            editor.cancel_request(types.CancelParams("one"))
            overtaken = asyncio.create_task(editor.complete(1, 22))
            newest = asyncio.create_task(editor.complete(1, 24))
            with pytest.raises(JsonRpcRequestCancelled):
                await cancelled
            assert await overtaken == []
            assert await newest == expected(tiny_bundle, TEXT, 1, 24)

    run(test)


def test_missing_bundle_is_said_once_and_the_server_lives(tmp_path: Path) -> None:
    async def test() -> None:
        async with editing(tmp_path) as editor:
            await editor.begin()
            assert await editor.complete(1, 24) == []
            assert await editor.complete(1, 23) == []
        assert len(editor.messages) == 1
        assert "submodel build" in editor.messages[0]
        assert str(tmp_path) in editor.messages[0]

    run(test)


def test_damaged_bundle_is_named(workspace: Path) -> None:
    model = workspace / ".submodel" / "bundle" / "onnx" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1000])

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            assert await editor.complete(1, 24) == []
        assert len(editor.messages) == 1
        assert str(model) in editor.messages[0]

    run(test)


def test_bad_option_is_named_and_the_rest_holds(tiny_bundle: Bundle, tmp_path: Path) -> None:
    async def test() -> None:
        async with editing(tmp_path) as editor:
            await editor.begin(options={"threads": -1, "bundle": str(tiny_bundle.folder), "maxNewTokens": 12})
            short = await editor.complete(1, 24)
        full = expected(tiny_bundle, TEXT, 1, 24)[0]
        assert 0 < len(short[0]) < len(full)
        assert full.startswith(short[0])
        assert len(editor.messages) == 1
        assert "'threads'" in editor.messages[0]

    run(test)


def test_file_that_is_not_open_has_no_completions(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            editor.uri = (workspace / "other.py").as_uri()
            assert await editor.complete(0, 0) == []

    run(test)


def test_switched_off_it_answers_nothing(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin(options={"enabled": False})
            assert await editor.complete(1, 24) == []
        assert editor.messages == []

    run(test)


def test_over_tcp(workspace: Path, tiny_bundle: Bundle) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def connect(editor: Editor) -> None:
        for _ in range(400):
            try:
                return await editor.start_tcp("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
        raise AssertionError("nobody listens")

    async def test() -> None:
        server = await asyncio.create_subprocess_exec(
            *COMMAND, "--tcp", f"127.0.0.1:{port}", stderr=asyncio.subprocess.PIPE
        )
        editor = Editor(workspace)
        await connect(editor)
        await editor.begin()
        assert await editor.complete(1, 24) == expected(tiny_bundle, TEXT, 1, 24)
        await editor.end()
        await server.communicate()

    run(test)

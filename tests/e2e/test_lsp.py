"""The server as editors meet it: a process of its own, spoken to by pygls' client over stdio and TCP."""

from __future__ import annotations

import asyncio
import hashlib
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

from exporters.bundle import Bundle, read_manifest, seal_manifest
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


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


class Editor(LanguageClient):
    """A client with one file open that keeps what the server tells its user."""

    def __init__(self, workspace: Path) -> None:
        super().__init__("test-editor", "1")
        self.workspace = workspace
        self.uri = (workspace / "greet.txt").as_uri()
        self.messages: list[str] = []
        self.stderr = b""
        self.version = 1
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
                initialization_options={"trigger": {"budgetMs": 60_000}} if options is None else options,
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
        self.version += 1
        there = types.Position(line, character)
        change = types.TextDocumentContentChangePartial(range=types.Range(there, there), text=text)
        document = types.VersionedTextDocumentIdentifier(version=self.version, uri=self.uri)
        self.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

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
            editor.change("name\n    x = ", 1, 24)
            changed = TEXT.replace("return ", "return name\n    x = ")
            assert await editor.complete(2, 8) == expected(tiny_bundle, changed, 2, 8)

    run(test)


def test_counts_in_the_encoding_that_the_client_prefers(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            general = types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf8])
            result = await editor.begin(general=general)
            assert result.capabilities.position_encoding == types.PositionEncodingKind.Utf8
            editor.trigger = types.InlineCompletionTriggerKind.Invoked  # there is text right of the cursor
            assert await editor.complete(1, 17) == expected(tiny_bundle, TEXT, 1, 15)
            assert await editor.complete(1, 15) != await editor.complete(1, 17)

    run(test)


def test_cancelled_and_overtaken_requests_are_answered_at_once(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            editor.trigger = types.InlineCompletionTriggerKind.Invoked
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


def test_editor_without_inline_completion_gets_an_item_of_its_list(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            result = await editor.begin("x = area", is_inline=False)
            assert result.capabilities.completion_provider is not None
            params = types.CompletionParams(types.TextDocumentIdentifier(editor.uri), types.Position(0, 8))
            completions = await editor.text_document_completion_async(params)
            assert isinstance(completions, types.CompletionList)
            assert completions.is_incomplete
            [item] = completions.items
            assert isinstance(item.text_edit, types.TextEdit)
            assert item.text_edit.range == types.Range(types.Position(0, 4), types.Position(0, 8))
            assert item.text_edit.new_text == "area" + expected(tiny_bundle, "x = area", 0, 8)[0]
            assert item.filter_text == item.text_edit.new_text
            assert item.preselect

    run(test)


def test_client_with_inline_completion_is_not_offered_the_list(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            result = await editor.begin()
            assert result.capabilities.completion_provider is None
            assert result.capabilities.inline_completion_provider

    run(test)


def test_selected_item_of_the_editor_s_list_is_honoured(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin("x = ar\n")
            params = editor.params(0, 6)
            there = types.Range(types.Position(0, 4), types.Position(0, 6))
            params.context.selected_completion_info = types.SelectedCompletionInfo(there, "area")
            result = await editor.text_document_inline_completion_async(params)
            assert isinstance(result, types.InlineCompletionList)
            [item] = result.items
            assert item.insert_text == "area" + expected(tiny_bundle, "x = area\n", 0, 8)[0]
            assert item.range == there

    run(test)


@pytest.mark.parametrize("encoding", list(types.PositionEncodingKind))
def test_crlf_and_every_encoding(workspace: Path, tiny_bundle: Bundle, encoding: types.PositionEncodingKind) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            general = types.GeneralClientCapabilities(position_encodings=[encoding])
            await editor.begin(TEXT.replace("\n", "\r\n"), general=general)
            character = {"utf-8": 26, "utf-16": 24, "utf-32": 23}[encoding.value]
            assert await editor.complete(1, character) == expected(tiny_bundle, TEXT, 1, 24)

    run(test)


def test_two_folders_have_a_bundle_each(workspace: Path, tiny_bundle: Bundle, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(tiny_bundle.folder, other / ".submodel" / "bundle")

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            added = types.WorkspaceFolder(uri=other.as_uri(), name="other")
            event = types.WorkspaceFoldersChangeEvent([added], [])
            editor.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
            served = []
            for folder in (workspace, other):
                editor.uri = (folder / "one.txt").as_uri()
                item = types.TextDocumentItem(editor.uri, "plaintext", 1, TEXT)
                editor.text_document_did_open(types.DidOpenTextDocumentParams(item))
                assert await editor.complete(1, 24) == expected(tiny_bundle, TEXT, 1, 24)
                [decision] = (await editor.request("submodel/explain"))["decisions"]
                served.append(decision["bundle"])
            assert served == [str(folder / ".submodel" / "bundle") for folder in (workspace, other)]
            bundles = (await editor.request("submodel/status"))["bundles"]
            assert [(one["workspaceFolder"], one["state"]) for one in bundles] == [
                (str(workspace), "ready"),
                (str(other), "ready"),
            ]
            event = types.WorkspaceFoldersChangeEvent([], [added])
            editor.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
            while len(bundles) > 1:
                bundles = (await editor.request("submodel/status"))["bundles"]
            assert bundles[0]["workspaceFolder"] == str(workspace)

    run(test)


def test_options_can_be_changed(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            full = await editor.complete(1, 24)
            settings = {"submodel": {"maxNewTokens": 12, "trigger": {"midWord": "yes"}}}
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
            short = await editor.complete(1, 24)
            assert 0 < len(short[0]) < len(full[0])
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({"enabled": False}))
            assert await editor.complete(1, 24) == []
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({}))
            assert await editor.complete(1, 24) == full
        assert len(editor.messages) == 1
        assert "'trigger.midWord'" in editor.messages[0]

    run(test)


def test_what_a_change_leaves_out_stays_as_it_came_with_initialize(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin(options={"maxNewTokens": 12})
            short = await editor.complete(1, 24)
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({}))  # as eglot does
            assert await editor.complete(1, 24) == short

    run(test)


def test_settings_that_are_to_be_asked_for(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:

            @editor.feature(types.WORKSPACE_CONFIGURATION)
            def configuration(params: types.ConfigurationParams) -> list[object]:
                assert params.items[0].section == "submodel"
                return [{"enabled": False}]

            capabilities = types.WorkspaceClientCapabilities(configuration=True)
            await editor.begin(workspace=capabilities)
            assert await editor.complete(1, 24) != []
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
            while (await editor.request("submodel/status"))["state"] != "disabled":
                await asyncio.sleep(0.01)
            assert await editor.complete(1, 24) == []

    run(test)


def test_idle_model_leaves_memory_and_comes_back(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin(options={"care": {"idleUnloadMinutes": 0.005}})
            before = await editor.complete(1, 24)
            while (await editor.request("submodel/status"))["state"] != "unloaded":
                await asyncio.sleep(0.05)
            editor.change(" ", 0, 0)  # so that it is not in the cache
            assert await editor.complete(1, 24) != []
            assert before != []

    run(test)


def test_progress_and_state_while_loading(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            window = types.WindowClientCapabilities(work_done_progress=True)
            await editor.begin(window=window, experimental={"submodelStatus": True})
            await editor.complete(1, 24)
        kinds = [value["kind"] if isinstance(value, dict) else value.kind for value in editor.progress_values]
        assert kinds == ["begin", "end"]
        assert editor.statuses == ["loading", "ready"]

    run(test)


def test_commands_and_why(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            assert await editor.complete(1, 24) != []
            assert (await editor.execute("submodel.pause"))["state"] == "paused"
            assert await editor.complete(1, 23) == []
            explained = await editor.request("submodel/explain", {"count": 9, "textDocument": {"uri": editor.uri}})
            newer, older = explained["decisions"]
            assert (newer["rule"], older["outcome"]) == ("paused", "shown")
            assert (await editor.execute("submodel.resume"))["state"] == "ready"
            snoozed = await editor.execute("submodel.snooze", 7)
            assert snoozed["state"] == "snoozed"
            assert snoozed["snoozedUntil"]
            await editor.execute("submodel.resume")
            status = await editor.execute("submodel.reload")
            assert status["state"] == "ready"
            assert status["memoryBytes"] > 0
            assert await editor.complete(1, 24) == [older["text"]]

    run(test)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_acceptance_is_seen_in_the_edits(workspace: Path, line_end: str) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin(TEXT.replace("\n", line_end))
            [text] = await editor.complete(1, 24)
            editor.change(text, 1, 24)
            figures = await editor.execute("submodel.statistics", {"reset": True})
            assert (figures["requests"], figures["shown"], figures["accepted"]) == (1, 1, 1)
            assert figures["acceptedCharacters"] == len(text)
            figures = await editor.execute("submodel.statistics")
            assert (figures["shown"], figures["accepted"]) == (0, 0)

    run(test)


def test_what_copilot_s_clients_report_is_understood(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            result = await editor.text_document_inline_completion_async(editor.params(1, 24))
            assert isinstance(result, types.InlineCompletionList)
            item = editor.protocol._converter.unstructure(result.items[0])
            editor.protocol.notify("textDocument/didShowCompletion", {"item": item})
            editor.protocol.notify("textDocument/didPartiallyAcceptCompletion", {"item": item, "acceptedLength": 3})
            await editor.execute(item["command"]["command"], *item["command"]["arguments"])
            figures = await editor.execute("submodel.statistics")
            assert (figures["shown"], figures["partlyAccepted"], figures["accepted"]) == (1, 1, 1)

    run(test)


def test_older_bundle_can_be_served_again(workspace: Path) -> None:
    shutil.copytree(workspace / ".submodel" / "bundle", workspace / ".submodel" / "previous" / "old")

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            before = await editor.complete(1, 24)
            status = await editor.execute("submodel.rollback")
            assert await editor.complete(1, 24) == before
            [decision] = (await editor.request("submodel/explain"))["decisions"]
            assert decision["bundle"] == str(workspace / ".submodel" / "previous" / "old")
            assert status["bundles"][0]["folder"] == decision["bundle"]

    run(test)


def test_pieces_of_other_files_reach_the_model(workspace: Path) -> None:
    (workspace / "shapes.py").write_text("def greet(name):\n    face = name.face\n    return face\n")

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin(options={"context": {"similar": True, "recent": True}})
            viewed = types.TextDocumentItem((workspace / "seen.txt").as_uri(), "plaintext", 1, "seen = 1\n")
            editor.text_document_did_open(types.DidOpenTextDocumentParams(viewed))
            for _ in range(100):  # the repository is read in the background
                assert await editor.complete(1, 24) != []
                [decision] = (await editor.request("submodel/explain"))["decisions"]
                if len(decision["context"]) == 2:
                    break
                await asyncio.sleep(0.05)
                await editor.execute("submodel.reload")  # forgets what was found without
            assert [(piece["source"], piece["path"]) for piece in decision["context"]] == [
                ("recent", "seen.txt"),
                ("similar", "shapes.py"),
            ]

    run(test)


def test_repository_that_has_gone_on_is_told_with_what_to_do(workspace: Path) -> None:
    bundle = workspace / ".submodel" / "bundle"
    known = {"learned_sha256": [hashlib.sha256(b"one = 1\n").hexdigest(), hashlib.sha256(b"two = 2\n").hexdigest()]}
    seal_manifest(bundle, {**read_manifest(bundle), **known})
    (workspace / "one.py").write_text("one = 1\n")
    (workspace / "two.py").write_text("two = 3\n")

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            drift = None
            while drift is None:
                await asyncio.sleep(0.02)
                bundles = (await editor.request("submodel/status"))["bundles"]
                drift = bundles[0]["drift"] if bundles else None
            assert drift["files"] == 2
            assert (drift["changed"], drift["isStale"], drift["command"]) == (1, True, f"submodel build {workspace}")
        assert len(editor.messages) == 1
        assert f"submodel build {workspace}" in editor.messages[0]

    run(test)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_socket_is_opened_over_stdio(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            await editor.complete(1, 24)
            await editor.request("submodel/status")
            assert editor._server is not None
            process = Path(f"/proc/{editor._server.pid}")
            sockets = {
                str(link.readlink())[8:-1] for link in (process / "fd").iterdir() if "socket:" in str(link.readlink())
            }
            tables = [process / "net" / name for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet")]
            rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
            network = {row[9] if len(row) > 9 else row[-1] for row in rows}
            assert not sockets & network, "only the pair with which asyncio wakes itself, which belongs to no network"

    run(test)


def test_over_tcp(workspace: Path, tiny_bundle: Bundle) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def connect(editor: Editor) -> None:
        for _ in range(2000):
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

"""The server as editors meet it: a process of its own, spoken to by pygls' client over stdio."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled

from contract.bundle.bundle import Bundle
from contract.bundle.manifest import build_of, read_manifest, write_manifest
from contract.bundle.trusted_builds import trust_build
from tests.e2e.editor import TEXT, editing, expected, run


def test_answers_what_the_completer_answers_and_never_loads_torch(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            result = await editor.begin()
            assert result.capabilities.inline_completion_provider
            assert result.capabilities.completion_provider is None, "the list is for clients without inline completion"
            assert result.server_info and result.server_info.name == "submodel"
            assert await editor.complete(1, 24) == expected(tiny_bundle, TEXT, 1, 24) != [""]
        assert editor.messages == []
        assert b"loaded: []" in editor.stderr

    run(test)


def test_a_request_by_hand_gets_what_the_text_has_as_well(workspace: Path, tiny_bundle: Bundle) -> None:
    folder = workspace / ".submodel" / "bundle"
    manifest = read_manifest(folder)
    write_manifest(folder, {**manifest, "prompt": {**manifest["prompt"], "suffix_first": True}})
    trust_build(build_of(folder))
    text = "total = compute(alpha, beta)\nfirst = 1\ntotal = "

    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin(text)
            [first] = await editor.complete(2, 8)
            editor.trigger = types.InlineCompletionTriggerKind.Invoked
            assert await editor.complete(2, 8) == [first, "compute(alpha, beta)"]

    run(test)


def test_follows_edits_and_counts_in_utf16(workspace: Path, tiny_bundle: Bundle) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            editor.change("name\n    x = ", 1, 24)
            changed = TEXT.replace("return ", "return name\n    x = ")
            assert await editor.complete(2, 8) == expected(tiny_bundle, changed, 2, 8)

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


def test_file_that_is_not_open_has_no_completions(workspace: Path) -> None:
    async def test() -> None:
        async with editing(workspace) as editor:
            await editor.begin()
            editor.uri = (workspace / "other.py").as_uri()
            assert await editor.complete(0, 0) == []

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

            params.position = types.Position(7, 0)  # past the end; the item stands within the document
            completions = await editor.text_document_completion_async(params)
            assert isinstance(completions, types.CompletionList)
            [item] = completions.items
            assert isinstance(item.text_edit, types.TextEdit)
            assert item.text_edit.range == types.Range(types.Position(0, 4), types.Position(0, 8))

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
            result = await editor.begin(TEXT.replace("\n", "\r\n"), general=general)
            assert result.capabilities.position_encoding == encoding
            character = {"utf-8": 26, "utf-16": 24, "utf-32": 23}[encoding.value]
            assert await editor.complete(1, character) == expected(tiny_bundle, TEXT, 1, 24)
            editor.trigger = types.InlineCompletionTriggerKind.Invoked  # there is text right of the cursor
            assert await editor.complete(1, character - 9) == expected(tiny_bundle, TEXT, 1, 15)
            if encoding == types.PositionEncodingKind.Utf8:
                assert await editor.complete(1, 15) != await editor.complete(1, 17)

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

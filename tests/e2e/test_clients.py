"""What real editors announce, as pytest-lsp has recorded it: each gets the form of completion that it understands."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from lsprotocol import types
from pytest_lsp import LanguageClient, client_capabilities

from contract.bundle.bundle import Bundle

CLIENTS = ("visual-studio-code", "neovim", "emacs")  # those that it has recorded
TEXT = "def greet(name):\n    return "


@pytest.mark.parametrize("name", CLIENTS)
def test_each_editor_gets_a_completion(name: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    capabilities = client_capabilities(name)
    shutil.copytree(tiny_bundle.folder, tmp_path / ".submodel" / "bundle")

    async def test() -> str:
        client = LanguageClient()
        await client.start_io(sys.executable, "-m", "submodel", "serve", "--stdio", "--threads", "1")
        try:
            folder = types.WorkspaceFolder(uri=tmp_path.as_uri(), name="workspace")
            params = types.InitializeParams(capabilities=capabilities, workspace_folders=[folder])
            server = (await client.initialize_session(params)).capabilities
            item = types.TextDocumentItem((tmp_path / "a.txt").as_uri(), "plaintext", 1, TEXT)
            client.text_document_did_open(types.DidOpenTextDocumentParams(item))
            document, position = types.TextDocumentIdentifier(item.uri), types.Position(1, 11)
            if server.completion_provider is not None:
                listed = await client.text_document_completion_async(types.CompletionParams(document, position))
                assert isinstance(listed, types.CompletionList)
                assert isinstance(listed.items[0].text_edit, types.TextEdit)
                text = listed.items[0].text_edit.new_text
            else:
                context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
                inline = await client.text_document_inline_completion_async(
                    types.InlineCompletionParams(context, document, position)
                )
                assert isinstance(inline, types.InlineCompletionList)
                text = str(inline.items[0].insert_text)
            await client.shutdown_session()
            return text
        finally:
            await client.stop()

    assert asyncio.run(asyncio.wait_for(test(), timeout=60)).strip()

"""What real editors announce, as pytest-lsp has recorded it: each gets the form of completion that it understands.

For editors that no test can start, whole sessions of messages are played. Each file of tests/lsp_server/sessions names
the source that it was written after.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pytest_lsp import LanguageClient, client_capabilities

from contract.bundle.bundle import Bundle
from lsp_server.completion import open_completer
from lsp_server.options import UNHURRIED
from lsp_server.request import CompletionRequest
from testbed.editors import PATIENT
from tests.attacks.lsp_process import framed, read_message
from tests.e2e.editor import PATIENT as PATIENT_OPTIONS

CLIENTS = ("visual-studio-code", "neovim", "emacs")  # those that it has recorded
TEXT = "def greet(name):\n    return "
SESSIONS = Path(__file__).parents[1] / "lsp_server" / "sessions"
# What the file holds when the last completion is asked for. In a comment, so that what the random model says is not cut
# to what parses; behind a character that is two units of UTF-16.
BEFORE, AFTER = 'def greet(name):\n    face = "😋"  # ', "\n"


@pytest.mark.parametrize("name", CLIENTS)
def test_each_editor_gets_a_completion(name: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    capabilities = client_capabilities(name)
    shutil.copytree(tiny_bundle.folder, tmp_path / ".submodel" / "bundle")

    async def test() -> str:
        client = LanguageClient()
        await client.start_io(sys.executable, "-m", "submodel", "serve", "--stdio", "--threads", "1")
        try:
            folder = types.WorkspaceFolder(uri=tmp_path.as_uri(), name="workspace")
            params = types.InitializeParams(
                capabilities=capabilities,
                workspace_folders=[folder],
                initialization_options=PATIENT_OPTIONS,
            )
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

    assert asyncio.run(asyncio.wait_for(test(), timeout=300)).strip()


def play(session: dict[str, Any], server: subprocess.Popen[bytes]) -> tuple[dict[object, Any], list[Any]]:
    """Send a session's messages as its client does; return the answers by their ids, and the server's notifications.

    An answer is waited for before the next message, unless that cancels its request.
    """
    assert server.stdin is not None and server.stdout is not None
    answers: dict[object, Any] = {}
    notices: list[Any] = []
    messages = session["messages"]
    for message, following in zip(messages, [*messages[1:], {}], strict=True):
        server.stdin.write(framed(message))
        server.stdin.flush()
        while "id" in message and message["id"] not in answers and following.get("method") != "$/cancelRequest":
            received = read_message(server.stdout)
            if "method" not in received:
                answers[received["id"]] = received
            elif "id" in received:
                result = session["answers"][received["method"]]
                server.stdin.write(framed({"jsonrpc": "2.0", "id": received["id"], "result": result}))
                server.stdin.flush()
            else:
                notices.append(received)
    return answers, notices


@pytest.mark.parametrize("name", sorted(path.stem for path in SESSIONS.glob("*.json")))
def test_a_played_session_gets_the_completer_s_answer(name: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle.folder, tmp_path / ".submodel" / "bundle")
    recorded = (SESSIONS / f"{name}.json").read_text("utf-8")
    shows_all = '"experimental": {"threshold": {"confidence": 0}}'  # a random model is sure of nothing
    recorded = recorded.replace('"eagerness": "quiet"', shows_all)
    session = json.loads(recorded.replace("ROOT_URI", tmp_path.as_uri()).replace("ROOT_PATH", tmp_path.as_posix()))
    command = [sys.executable, "-c", PATIENT, "serve", "--threads", "1"]
    pipe, log = subprocess.PIPE, tmp_path / "log.txt"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, cwd=tmp_path) as server,
    ):
        try:
            answers, notices = play(session, server)
            server.wait(300)
        finally:
            server.kill()
    [*_, asked] = [one for one in session["messages"] if one["method"].startswith("textDocument/") and "id" in one]
    [item] = answers[asked["id"]]["result"]["items"]
    request = CompletionRequest(
        text=BEFORE + AFTER, offset=len(BEFORE), path="greet.py", language_id="python", options=UNHURRIED
    )
    expected = open_completer(tiny_bundle.folder, threads=1).complete(request).text
    assert expected
    edit = item if asked["method"] == "textDocument/inlineCompletion" else item["textEdit"]
    assert edit.get("insertText", edit.get("newText")) == expected
    assert edit["range"] == {"start": asked["params"]["position"], "end": asked["params"]["position"]}
    assert [one for one in notices if one["method"] == "window/showMessage"] == []
    wrong = [one for one in session["messages"] if one["method"] == "shutdown" and "id" not in one]  # Kate's
    assert log.read_text("utf-8").count("was passed over") == len(wrong)

"""Clients of `submodel serve --http`: their recorded requests, and JupyterLab and Neovim with plug-ins where they are.

$LLAMA_VIM and $MINUET_NVIM name the folders of the plug-ins, which are set up as docs/editors.md says.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.bundle.bundle import Bundle
from lsp_server.completion import open_completer
from lsp_server.http.guard import TOKEN_FILE, read_token
from lsp_server.http.messages import read_completion, read_infill, until_stop
from lsp_server.options import ServerOptions, ThresholdOptions, TriggerOptions
from lsp_server.request import CompletionRequest
from testbed import jupyterlab
from testbed.editors import PLUG_INS, EditorProgram, documented_lines, editing
from testbed.terminal import TMUX
from tests.http_server import HttpServer, serving

RECORDED = Path(__file__).parents[1] / "lsp_server" / "http_requests"
# As the server of these tests.
PATIENT = ServerOptions(
    trigger=TriggerOptions(budget_ms=60_000, cold_ms=60_000), threshold=ThresholdOptions(confidence=0)
)
BEFORE, AFTER = "def greet(name):\n    return ", "\n\ndef other(x):\n    return x\n"


@pytest.fixture(scope="module")
def workspace(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.folder.parents[1]


@pytest.fixture(scope="module")
def server(workspace: Path) -> Iterator[HttpServer]:
    with serving(workspace) as server:
        recorded = json.loads((RECORDED / "zed.json").read_text("utf-8"))
        server.ask("POST", recorded["path"], recorded["body"], **recorded["headers"])  # comes back once it is loaded
        yield server
        said = server.end()  # on Windows it is ended before it says so
        assert "loaded: []" in said or sys.platform == "win32", "neither torch nor the language server's protocol"


def shown(content: str) -> str:
    """The text that a client makes of a stream's events or of a document."""
    if not content.startswith("data:"):
        document = json.loads(content)
        return str(document["content"] if "content" in document else document["choices"][0]["text"])
    parts = [line.removeprefix("data: ") for line in content.splitlines() if line]
    assert parts.pop() == "[DONE]"
    return "".join(json.loads(part)["choices"][0]["text"] for part in parts)


@pytest.mark.parametrize("name", ["llama-vim", "llama-vscode", "minuet", "zed", "continue", "jupyterlab"])
def test_a_recorded_request_gets_the_completer_s_answer(name: str, server: HttpServer, tiny_bundle: Bundle) -> None:
    text = (RECORDED / f"{name}.json").read_text("utf-8")
    # Of no language that has a grammar, so that what the random model says is not cut to what parses.
    recorded = json.loads(text.replace("greet.py", "greet.txt").replace('"python"', '"text"'))
    status, answer = server.ask("POST", recorded["path"], recorded["body"], **recorded["headers"])
    assert status == 200
    content = answer if isinstance(answer, str) else json.dumps(answer)
    body: dict[str, Any] = recorded["body"]
    # What these clients send besides the text: the file's path, and text of other files.
    path = {"minuet": "greet.txt", "continue": "greet.txt"}.get(name, "")
    after = AFTER[:-1] if name == "minuet" else AFTER
    read = read_infill if recorded["path"] == "/infill" else read_completion
    wanted = read(json.dumps(body).encode())
    assert (wanted.text, wanted.offset, wanted.path) == (BEFORE + after, len(BEFORE), path)
    request = CompletionRequest(
        text=BEFORE + after,
        offset=len(BEFORE),
        path=path,
        language_id=wanted.language,
        context=wanted.context,
        root=tiny_bundle.folder.parents[1],
        max_tokens=wanted.max_tokens,
        options=PATIENT,
    )
    expected = open_completer(tiny_bundle.folder, threads=1).complete(request)
    assert expected.text
    assert expected.replaces == 0
    assert shown(content) == until_stop(expected.text, wanted.stop)


def test_a_recorded_warm_up_is_answered_with_nothing(server: HttpServer) -> None:
    recorded = json.loads((RECORDED / "llama-vim-warm-up.json").read_text("utf-8"))
    assert server.ask("POST", recorded["path"], recorded["body"]) == (200, {})


def test_health_and_models(server: HttpServer) -> None:
    assert server.ask("GET", "/health") == (200, {"status": "ok"})
    assert [model["id"] for model in server.ask("GET", "/v1/models")[1]["data"]] == ["submodel"]


@pytest.mark.skipif(TMUX is None, reason="tmux is not here: make test-tools")
@pytest.mark.parametrize("editor", PLUG_INS, ids=lambda editor: editor.name)
def test_a_plug_in_shows_and_inserts_the_answer(
    editor: EditorProgram, server: HttpServer, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    if not editor.is_here:
        pytest.skip(f"{editor.name} is not here")
    file = tmp_path / "greet.txt"
    file.write_text("def greet(name):\n    \n" + AFTER[1:])
    path = "" if editor.name == "llama.vim" else "greet.txt"
    after = AFTER if editor.name == "llama.vim" else AFTER[:-1]
    request = CompletionRequest(text=BEFORE + after, offset=len(BEFORE), path=path, options=PATIENT)
    answer = open_completer(tiny_bundle.folder, threads=1).complete(request).text
    token = tmp_path / "home" / ".local" / "state" / "submodel" / TOKEN_FILE
    token.parent.mkdir(parents=True)
    token.write_text(read_token()[0])
    with editing(editor, file, tmp_path / "home", os.environ, port=server.port) as terminal:
        terminal.wait_for("def greet")
        terminal.send(*editor.to_end(2), "return ")
        terminal.wait_for(f"return {answer}".rstrip(), ask=editor.ask)
        terminal.send(*editor.accept, *editor.save)
        terminal.wait_for_end()
    assert file.read_text() == BEFORE + answer + AFTER


@pytest.mark.skipif(bool(jupyterlab.why_missing()), reason=jupyterlab.why_missing())
def test_jupyterlab_shows_and_inserts_the_answer(server: HttpServer, tiny_bundle: Bundle, tmp_path: Path) -> None:
    cells = ["import math", BEFORE.removesuffix("return ")]
    notebook = tmp_path / "greet.ipynb"
    jupyterlab.write_notebook(notebook, cells)
    before = f"{cells[0]}\n{BEFORE}"  # the extension sends the cells as one text, without their language
    request = CompletionRequest(text=before, offset=len(before), options=PATIENT)
    expected = open_completer(tiny_bundle.folder, threads=1).complete(request).text
    assert expected
    lines = documented_lines("JupyterLab", "json").replace("127.0.0.1:8012", f"127.0.0.1:{server.port}")
    set_up = lines.replace('"TOKEN"', json.dumps(read_token()[0]))
    with jupyterlab.serving_jupyterlab(notebook, tmp_path / "home", set_up) as address:
        answer = jupyterlab.accept_suggestion(address, "return ", tmp_path / "picture.png")
    assert answer["shown"] == expected
    assert "".join(json.loads(notebook.read_text("utf-8"))["cells"][1]["source"]) == BEFORE + expected

"""A request is answered for the text that stood before it, whatever else comes in the same segment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from contract.bundle.bundle import Bundle
from tests.attacks.lsp_process import answer_to, initialize, notice, request
from tests.e2e.editor import TEXT, expected

URI = "file:///nowhere/greet.txt"
OPTIONS = {
    "care": {"onBattery": "full"},
    "experimental": {"trigger": {"budgetMs": 60_000}, "threshold": {"confidence": 0}, "care": {"prefetch": False}},
}
NEW_TEXT = "\n" + TEXT.replace("face", "other")  # the old position is the end of another line in it


def segment() -> bytes:
    """A request, and a change behind it."""
    place = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 24}, "context": {"triggerKind": 1}}
    change = {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [{"text": NEW_TEXT}]}
    return request(3, "textDocument/inlineCompletion", place) + notice("textDocument/didChange", change)


def answer(read: BinaryIO, write: Any) -> list[str]:
    document = {"uri": URI, "languageId": "plaintext", "version": 1, "text": TEXT}
    write(initialize(OPTIONS))
    answer_to(1, read)
    write(notice("initialized", {}) + notice("textDocument/didOpen", {"textDocument": document}))
    write(request(2, "submodel/status", {}))
    answer_to(2, read)
    write(segment())
    return [item["insertText"] for item in answer_to(3, read)["result"]["items"]]


@pytest.fixture(scope="module")
def right(tiny_bundle: Bundle) -> list[str]:
    texts = expected(tiny_bundle, TEXT, 1, 24)
    assert texts[0]
    assert texts != expected(tiny_bundle, NEW_TEXT, 1, min(24, len(NEW_TEXT.splitlines()[1])))
    return texts


@pytest.mark.slow
def test_over_pipes(tiny_bundle: Bundle, right: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "submodel", "serve", "--bundle", str(tiny_bundle.folder), "--threads", "1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as server:
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            with open(server.stdout.fileno(), "rb", closefd=False) as stream:
                assert answer(stream, server.stdin.write) == right
        finally:
            server.kill()

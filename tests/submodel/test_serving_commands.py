from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from contract.bundle.bundle import Bundle
from contract.errors import BundleError, SubmodelError
from lsp_server.completion import open_completer
from lsp_server.options import UNHURRIED
from lsp_server.request import CompletionRequest
from lsp_server.serve_errors import ServeError
from submodel import app
from submodel.commands.complete import complete
from submodel.commands.serve import parse_address, serve

TEXT = "def area(self):\n    return \n"
ENDING = len("    return ")


def run_complete(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(complete)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def workspace(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(tiny_bundle.folder, tmp_path / ".submodel" / "bundle")
    (tmp_path / "src").mkdir()
    return tmp_path


def test_prints_the_completion(workspace: Path, tiny_bundle: Bundle) -> None:
    file = workspace / "src" / "area.txt"
    file.write_text(TEXT, encoding="utf-8")
    request = CompletionRequest(text=TEXT, offset=TEXT.index("return ") + 7, path="area.txt", options=UNHURRIED)
    expected = open_completer(tiny_bundle.folder).complete(request).text
    assert run_complete(file, "--line", 1, "--character", ENDING) == expected + "\n"
    document = json.loads(run_complete(file, "--line", 1, "--character", ENDING, "--json"))
    assert document.pop("milliseconds") > 0
    assert document["tokens"] > 0
    assert 0 < document["confidence"] < 1
    assert document["text"] == expected


def test_a_repository_in_a_folder_that_was_built_is_served_as_in_an_editor(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = workspace / "part" / "area.txt"
    (workspace / "part" / ".git").mkdir(parents=True)
    file.write_text(TEXT, encoding="utf-8")
    with pytest.raises(BundleError, match="No bundle"):
        run_complete(file, "--line", 1, "--character", ENDING)
    monkeypatch.chdir(workspace)
    assert run_complete(file, "--line", 1, "--character", ENDING).endswith("\n")


def test_line_ends_and_byte_order_mark_count_as_in_editors(workspace: Path, tiny_bundle: Bundle) -> None:
    file = workspace / "area.txt"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    request = CompletionRequest(text=TEXT, offset=TEXT.index("return ") + 7, path="area.txt", options=UNHURRIED)
    expected = open_completer(tiny_bundle.folder).complete(request).text
    assert run_complete(file, "--line", 1, "--character", ENDING, "--bundle", tiny_bundle.folder) == expected + "\n"


@pytest.mark.parametrize(
    ("content", "line", "character", "error", "message"),
    [
        (None, 0, 0, ServeError, r"area\.txt can't be read"),
        (b"x = '\xff'", 0, 0, ServeError, r"area\.txt is not valid UTF-8 \(byte 5\)"),
        (b"x = 1\n", 7, 0, ServeError, r"Line 7 is outside the file, whose lines are 0 to 1"),
        (b"x = 1\n", 0, 6, ServeError, r"Character 6 is outside line 0, whose UTF-16 characters are 0 to 5"),
        (b"x = 1\n", 0, 5, BundleError, r"No bundle .* `submodel build`"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, content: bytes | None, line: int, character: int, error: type[SubmodelError], message: str
) -> None:
    file = tmp_path / "area.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        run_complete(file, "--line", line, "--character", character)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", [("localhost:80", "localhost", 80), ("[::1]:2087", "::1", 2087)])
def test_address(address: tuple[str, str, int]) -> None:
    assert parse_address(address[0]) == address[1:]


@pytest.mark.parametrize("address", ["", "80", ":80", "host:", "host:0", "host:65536", "host:-1", "host:²"])
def test_address_that_is_none(address: str) -> None:
    with pytest.raises(ServeError, match="HOST:PORT"):
        parse_address(address)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stdio": True, "http": "localhost:80"}, "exclude each other"),
        ({"http_any_address": True}, "give --http HOST:PORT too"),
        ({"http_no_token": True}, "give --http HOST:PORT too"),
        ({"http": "80"}, "HOST:PORT"),
    ],
)
def test_transports_exclude_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ServeError, match=message):
        serve(**options)


def test_what_stdout_can_not_hold_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe on Windows is not UTF-8."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", written)
    monkeypatch.setattr("submodel.app.app", lambda: print("a → b"))
    app.main()
    written.flush()
    assert written.buffer.getvalue().split() == [b"a", rb"\u2192", b"b"]


def test_completing_never_loads_torch(workspace: Path) -> None:
    file = workspace / "area.txt"
    file.write_text(TEXT, encoding="utf-8")
    program = (
        "import sys; from pathlib import Path; from submodel.commands.complete import complete;"
        f"complete(Path({str(file)!r}), 1, {ENDING}, as_json=True);"
        "print(sorted({'torch', 'transformers', 'onnx', 'onnx_ir', 'optimum', 'safetensors'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    document, _, loaded = output.removesuffix("\n").rpartition("\n")
    assert json.loads(document)["text"]
    assert loaded == "[]"

"""Messages of very many values or of long names: what the server makes of them takes time and memory by their bytes.

Both attacks of many values succeed on 104ea66: 1 MB of `{},` kept the event loop for 25 s and took 2 GB, since pygls
makes a class for each object; 8 MB took 300 s and 15 GB.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygls.exceptions import JsonRpcInvalidRequest

from contract.bundle.bundle import find_bundle
from contract.errors import BundleError
from lsp_server.options import ServerOptions
from lsp_server.transports import create_server
from lsp_server.wire import (
    LOST_CHANGE,
    MAX_BARE_BYTES,
    MAX_MESSAGE_BYTES,
    NO_MESSAGE,
    BoundedInput,
    BoundedReader,
    _bare_bytes,
)

UNITS = [b"{}", b"[]", b"0", b'""', b'{"":""}', b'"\\""', b'"\\\\"']


def message_of(unit: bytes, size: int = 8 << 20) -> bytes:
    count = size // (len(unit) + 1)
    return b'{"jsonrpc":"2.0","method":"submodel/nothing","params":{"a":[' + b",".join([unit] * count) + b"]}}"


def read_both(body: bytes) -> set[bytes]:
    """What stdio and TCP make of a body."""

    async def read() -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(body)
        reader.feed_eof()
        return await BoundedReader(reader).readexactly(len(body))

    return {BoundedInput(io.BytesIO(body)).read(len(body)), asyncio.run(read())}


@pytest.mark.parametrize(
    "message", [{"method": "submodel/nothing"}, {"method": "submodel/nothing", "id": 1}, {"id": 1}]
)
def test_objects_of_a_message_stay_what_they_are(message: dict[str, Any]) -> None:
    field = "params" if "method" in message else "result"
    value = {"a": [{} for _ in range(10)], "b": {"c": 1}}
    text = json.dumps({"jsonrpc": "2.0", **message, field: value})
    structured = json.loads(text, object_hook=create_server(ServerOptions(), "1").protocol.structure_message)
    assert getattr(structured, field) == value


@pytest.mark.parametrize("message", [{"method": "submodel/nothing"}, {"method": "submodel/nothing", "id": 1}])
def test_parameters_may_be_left_out(message: dict[str, Any]) -> None:
    text = json.dumps({"jsonrpc": "2.0", **message})
    structured = json.loads(text, object_hook=create_server(ServerOptions(), "1").protocol.structure_message)
    assert structured.params is None


def opened(uri: str = "file:///a.py", language: str = "python") -> tuple[str, dict[str, Any]]:
    document = {"uri": uri, "languageId": language, "version": 1, "text": ""}
    return "textDocument/didOpen", {"textDocument": document}


LONG = "file:///" + "a/" * 2048
CELLS = [{"uri": "file:///a.py", "languageId": "python", "version": 1, "text": "x = 1"}]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        opened(uri=LONG),
        opened(language=LONG),
        ("textDocument/inlineCompletion", {"textDocument": {"uri": LONG}, "position": {"line": 0, "character": 0}}),
        ("initialize", {"rootUri": LONG, "capabilities": {}}),
        ("initialize", {"rootUri": None, "workspaceFolders": [{"uri": LONG, "name": "a"}], "capabilities": {}}),
        ("workspace/didChangeWorkspaceFolders", {"event": {"added": [{"uri": LONG, "name": "a"}], "removed": []}}),
        ("notebookDocument/didOpen", {"notebookDocument": {"uri": "file:///a.ipynb"}, "cellTextDocuments": CELLS}),
        ("notebookDocument/didChange", {"notebookDocument": {"uri": "file:///a.ipynb", "version": 2}, "change": {}}),
    ],
)
def test_long_names_and_notebooks_are_refused(method: str, params: dict[str, Any]) -> None:
    """On de82a37 pygls kept notebooks without a bound, and the time to look for a bundle grew with the URI's square."""
    structure = create_server(ServerOptions(), "1").protocol.structure_message
    with pytest.raises(JsonRpcInvalidRequest):
        structure({"jsonrpc": "2.0", "method": method, "params": params})
    assert structure({"jsonrpc": "2.0", **dict(zip(("method", "params"), opened(), strict=True))})


def test_folders_above_are_looked_up_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On de82a37 all were made before the first was looked at."""
    (root := tmp_path / "a" / "b").mkdir(parents=True)
    (root / ".git").mkdir()
    made: list[Path] = []

    def parents(path: Path) -> Iterator[Path]:
        while path != path.parent:
            path = path.parent
            made.append(path)
            yield path

    with monkeypatch.context() as patch:
        patch.setattr(PurePath, "parents", property(parents))
        with pytest.raises(BundleError):
            find_bundle(root)
    assert made == []


@pytest.mark.parametrize("unit", UNITS)
def test_a_message_of_millions_of_values_is_passed_over(unit: bytes) -> None:
    assert read_both(message_of(unit)) == {NO_MESSAGE}


def change_of(uri: str, unit: bytes = b"{}", size: int = 2 << 20) -> bytes:
    head = json.dumps({"textDocument": {"uri": uri, "version": 2}})[:-1].encode()
    edits = b",".join([unit] * (size // len(unit)))
    change = b'{"jsonrpc":"2.0","method":"textDocument/didChange","params":%s,"contentChanges":[%s]}}'
    return change % (head, edits)


@pytest.mark.parametrize("uri", ["file:///a.py", "file:///a%20b.py"])
def test_a_change_that_is_passed_over_leaves_the_news_that_it_is_lost(uri: str) -> None:
    [left] = read_both(change_of(uri))
    assert json.loads(left) == {"jsonrpc": "2.0", "method": LOST_CHANGE, "params": {"uri": uri}}
    escaped = change_of(uri).replace(b"textDocument/did", b"textDocument\\/did")  # as some encoders write it
    assert read_both(escaped) == {left}
    [unnamed] = read_both(change_of("file:///\n.py"))
    assert json.loads(unnamed)["params"] == {"uri": None}, "so all texts are dropped"


@pytest.mark.slow
def test_so_is_one_that_is_longer_than_any_message() -> None:
    body = change_of("file:///a.py", b'{"text":"' + b"x" * 1000 + b'"}', MAX_MESSAGE_BYTES + 1)
    [left] = read_both(body)
    assert json.loads(left)["params"] == {"uri": "file:///a.py"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_no_other_encoding_hides_them(encoding: str) -> None:
    text = '{"\u0122":[' + "{}," * 1_000_000 + "0]}"  # half of the letter is a quotation mark
    assert read_both(text.encode(encoding)) == {NO_MESSAGE}


@pytest.mark.parametrize(
    "text", ["x = 1\n" * 2_000_000, '{"a": "\\\\"},\n' * 1_000_000, '"' * 5_000_000, "\\" * 5_000_000]
)
def test_a_long_document_is_read_whatever_it_says(text: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"text": text}}).encode()
    assert read_both(body) == {body}


def test_ten_thousand_edits_are_read() -> None:
    place = {"line": 1000, "character": 20}
    edits = [{"range": {"start": place, "end": place}, "text": "x" * 100}] * 10_000
    body = json.dumps({"jsonrpc": "2.0", "params": {"contentChanges": edits}}).encode()
    assert len(body) > MAX_BARE_BYTES
    assert read_both(body) == {body}


TREES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@pytest.mark.slow
@given(TREES, st.booleans())
def test_bytes_outside_of_strings_are_counted(tree: Any, is_ascii: bool) -> None:
    body, count, is_inside, is_escaped = json.dumps(tree, ensure_ascii=is_ascii), 0, False, False
    for letter in body:
        if is_inside:
            is_inside = is_escaped or letter != '"'
            is_escaped = letter == "\\" and not is_escaped
        else:
            is_inside = letter == '"'
            count += not is_inside
    assert _bare_bytes(body.encode("utf-8", "surrogatepass")) == count

"""Messages of very many values, messages that are too long, and messages that are not UTF-8.

On 104ea66 1 MB of `{},` kept the event loop for 25 s and took 2 GB, since pygls makes a class for each object.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest

from contract.bundle.bundle import find_bundle
from contract.errors import BundleError
from lsp_server.bounded_streams import (
    LOST_CHANGE,
    MAX_MESSAGE_BYTES,
    NO_MESSAGE,
    BoundedInput,
)
from lsp_server.options import ServerOptions
from lsp_server.transports import create_server
from tests.lsp_server.test_load import Client, talk


def read(body: bytes) -> bytes:
    """What the server makes of a body."""
    return BoundedInput(io.BytesIO(body)).read(len(body))


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


def change_of(uri: str, unit: bytes = b"{}", size: int = 2 << 20) -> bytes:
    head = json.dumps({"textDocument": {"uri": uri, "version": 2}})[:-1].encode()
    edits = b",".join([unit] * (size // len(unit)))
    change = b'{"jsonrpc":"2.0","method":"textDocument/didChange","params":%s,"contentChanges":[%s]}}'
    return change % (head, edits)


@pytest.mark.slow
def test_a_change_that_is_longer_than_any_message_leaves_the_news_that_it_is_lost() -> None:
    body = change_of("file:///a.py", b'{"text":"' + b"x" * 1000 + b'"}', MAX_MESSAGE_BYTES + 1)
    left = read(body)
    assert json.loads(left)["params"] == {"uri": "file:///a.py"}


def pasted(text: bytes, uri: str = "file:///a.py") -> bytes:
    """The body of a change that puts `text` at the beginning of a document."""
    place = {"line": 0, "character": 0}
    edits = [{"range": {"start": place, "end": place}, "text": "PASTED"}]
    params = {"textDocument": {"uri": uri, "version": 2}, "contentChanges": edits}
    body = json.dumps({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": params}).encode()
    return body.replace(b"PASTED", text)


HALF = "é".encode()[:1]


def test_a_change_that_is_not_utf_8_leaves_the_news_that_it_is_lost() -> None:
    left = read(pasted(HALF))
    assert json.loads(left) == {"jsonrpc": "2.0", "method": LOST_CHANGE, "params": {"uri": "file:///a.py"}}
    whole = pasted("é".encode() + "\ud800".encode("utf-8", "surrogatepass"))
    assert read(whole) == whole, "json.loads reads lone surrogates"
    assert read(b'{"jsonrpc":"2.0","method":"textDocument/didSave","params":"' + HALF + b'"}') == NO_MESSAGE


def test_nothing_is_suggested_from_the_text_before_a_change_that_is_not_utf_8() -> None:
    """As Neovim sends a paste of 65 KB that ends inside a character (neovim/neovim#29898)."""

    async def receive(client: Client, body: bytes) -> None:
        protocol = client.server.protocol
        protocol.handle_message(json.loads(read(body), object_hook=protocol.structure_message))

    async def test(client: Client) -> None:
        client.open("file:///a.py", "x = 1\n")
        client.open("file:///b.py", "y = 2\n")
        await receive(client, pasted(HALF))
        assert (await client.complete("file:///a.py", 0, 5, 2))["result"]["items"] == []
        [decision] = client.server.session.traces.newest()
        assert (decision.rule, decision.reason.endswith("open it again.")) == ("document", True)
        await receive(client, pasted(b"z"))  # what comes next is counted from a text that the server does not have
        documents = [client.server.document(f"file:///{name}.py") for name in "ab"]
        assert [one.is_kept for one in documents if one is not None] == [False, True]
        client.open("file:///a.py", "x = 3\n")
        await receive(client, pasted("é".encode()))
        document = client.server.document("file:///a.py")
        assert document is not None
        assert (document.source, document.is_kept) == ("éx = 3\n", True)

    talk(test)


@pytest.mark.parametrize(
    "text", ["x = 1\n" * 2_000_000, '{"a": "\\\\"},\n' * 1_000_000, '"' * 5_000_000, "\\" * 5_000_000]
)
def test_a_long_document_is_read_whatever_it_says(text: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"text": text}}).encode()
    assert read(body) == body

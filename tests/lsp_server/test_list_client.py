"""What each client gets by what it says about itself in `initialize`: its list, and the inline items of IntelliJ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lsprotocol import types

from lsp_server.items import ListClient, find_list_client
from lsp_server.request import Completion, CompletionRequest
from tests.lsp_server.test_load import Client, talk
from tests.lsp_server.test_server import answering, cursor

OWN: dict[str, Any] = {"insertReplaceSupport": True, "snippetSupport": True}  # what Neovim 0.12 announces for its list
PLUG_IN: dict[str, Any] = {**OWN, "insertTextModeSupport": {"valueSet": [1]}}  # blink.cmp; nvim-cmp: [1, 2]
BLOCK = Completion(text="a\n    b")
CLOSING = Completion(text="x)", replaces=1)


def listed(
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    after: str,
    completion: Completion,
    name: str | None,
    version: str = "0.10.4",
    announced: dict[str, Any] | None = None,
) -> list[Any]:
    """Return the items that a client gets at the cursor between two texts of one line."""
    items: list[Any] = []

    async def test(client: Client) -> None:
        answering(monkeypatch, client, completion)
        client.open("file:///a.py", before + after)
        answer = await client.ask("textDocument/completion", cursor(0, len(before)), 2)
        items.extend(answer["result"]["items"])
        tracker = client.server.session.tracker
        assert (tracker._shown is not None) == bool(items), "what is not sent does not count as shown"
        assert client.server.options.trigger.multi_line == client.server.list_client.takes_blocks

    capabilities = {"textDocument": {"completion": {"completionItem": announced or {}}}}
    talk(test, capabilities=capabilities, name=name, version=version)
    return items


def inserted(before: str, after: str, item: Any) -> str:
    """Return the line that a client makes of an item, if it replaces what the item's range says."""
    start, end = (item["textEdit"]["range"][side]["character"] for side in ("start", "end"))
    line = before + after
    return line[:start] + str(item["textEdit"]["newText"]) + line[end:]


@pytest.mark.parametrize(
    ("name", "version", "announced", "text"),
    [
        ("Neovim", "0.10.4", {}, "a"),
        ("Neovim", "0.12.4", OWN, "a"),
        ("kakoune-lsp", "21.0.2", {}, "a"),
        ("Neovim", "0.12.4", PLUG_IN, "a\n    b"),
        ("helix", "25.01", {}, "a\n    b"),
        (None, "", {}, "a\n    b"),
    ],
)
def test_a_list_that_takes_no_blocks_gets_a_line(
    name: str | None, version: str, announced: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [item] = listed(monkeypatch, "x = ", "", BLOCK, name, version, announced)
    assert item["textEdit"]["newText"] == text


@pytest.mark.parametrize("completion", [Completion(text="\n    b"), Completion(text=")", replaces=1)])
def test_an_item_of_which_nothing_is_left_is_not_sent(completion: Completion, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listed(monkeypatch, "f(x", ")", completion, "Neovim") == []


@pytest.mark.parametrize(
    ("name", "announced", "end"),
    [("Neovim", OWN, 2), (None, {}, 2), ("kakoune-lsp", {}, 2), ("Neovim", PLUG_IN, 3), ("Eglot", {}, 3)],
)
def test_a_list_that_only_inserts_doubles_no_bracket(
    name: str | None, announced: dict[str, Any], end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    [item] = listed(monkeypatch, "f(", ")", CLOSING, name, announced=announced)
    assert item["textEdit"]["range"]["end"]["character"] == end
    assert item["kind"] == types.CompletionItemKind.Value, "blink.cmp before 1.5 drops Text"
    assert inserted("f(", ")", item) == "f(x)"


@pytest.mark.parametrize(
    ("version", "before", "insert_text"),
    [
        ("0.11.4", "x = fo", "fooo bar"),
        ("0.11.4", "x = ", "o bar"),
        ("0.11.4", "x = -", None),  # in CSS a part of the word, which would be replaced
        ("0.10.4", "x = fo", None),
        ("0.12.4", "x = fo", None),
    ],
)
def test_neovim_0_11_takes_more_than_the_first_word(
    version: str, before: str, insert_text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "oo bar" if insert_text == "fooo bar" else "o bar"
    [item] = listed(monkeypatch, before, "", Completion(text=text), "Neovim", version, OWN)
    assert item.get("insertText") == insert_text
    assert ("textEdit" in item) == (insert_text is None)


@pytest.mark.parametrize(
    ("name", "announced", "path", "before", "word"),
    [
        ("Neovim", PLUG_IN, "a.py", "x-ba", "x-ba"),
        ("Neovim", PLUG_IN, "a.py", "x = -ba", "ba"),
        ("Neovim", OWN, "a.css", "font-si", "si"),
        ("helix", {}, "a.css", "font-si", "si"),
    ],
)
def test_the_word_before_the_cursor_is_the_client_s(
    name: str, announced: dict[str, Any], path: str, before: str, word: str
) -> None:
    item = types.ClientCompletionItemOptions()
    if "insertTextModeSupport" in announced:
        item.insert_text_mode_support = types.ClientCompletionItemInsertTextModeOptions(())
    completion = types.CompletionClientCapabilities(completion_item=item)
    capabilities = types.ClientCapabilities(text_document=types.TextDocumentClientCapabilities(completion=completion))
    client = find_list_client(types.ClientInfo(name), capabilities)
    assert client.word_before(CompletionRequest(text=before, offset=len(before), path=path)) == word


def test_a_client_that_announces_nothing_gets_what_the_protocol_says() -> None:
    assert find_list_client(types.ClientInfo("other"), types.ClientCapabilities()) == ListClient()


@pytest.mark.parametrize(("version", "text", "end"), [("2026.1 (build PY-261)", "x", 2), ("1.107.0", "x)", 3)])
def test_intellij_keeps_the_bracket_that_an_inline_item_replaces(
    version: str, text: str, end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: Client) -> None:
        answering(monkeypatch, client, CLOSING, replace(CLOSING, text="y)"))
        client.open("file:///a.py", "f()")
        asked = {**cursor(0, 2), "context": {"triggerKind": 1}}
        items = (await client.ask("textDocument/inlineCompletion", asked, 2))["result"]["items"]
        assert [item["insertText"] for item in items] == [text, text.replace("x", "y")]
        assert {item["range"]["end"]["character"] for item in items} == {end}

    inline = {"textDocument": {"inlineCompletion": {}}}
    talk(test, capabilities=inline, name="PyCharm", version=version)

from __future__ import annotations

from dataclasses import replace

import pytest

from lsp_server.options import TriggerOptions
from lsp_server.request import CompletionRequest
from lsp_server.triggers import find_refusal


def at(document: str, path: str = "a.py") -> CompletionRequest:
    return CompletionRequest(text=document.replace("‸", ""), offset=document.index("‸"), path=path)


@pytest.mark.parametrize(
    ("document", "switch", "value", "rule"),
    [
        ("ab‸cd\n", "mid_word", True, "mid-word"),
        ("x = ‸ + 1\n", "before_text", True, "before-text"),
        ("# one ‸\n", "comments", False, "comment"),
        ("x = 'one ‸'\n", "strings", False, "string"),
        ("x = 'one ‸\ny = 1\n", "strings", False, "string"),
        ("x = ‸\n", "automatic", False, "automatic"),
    ],
)
def test_each_rule_has_a_switch(document: str, switch: str, value: bool, rule: str) -> None:
    plain = TriggerOptions(before_text=True) if rule == "mid-word" else TriggerOptions()
    switched = replace(plain, **{switch: value})
    on, off = (switched, plain) if not value else (plain, switched)
    refusal = find_refusal(at(document), on)
    assert refusal is not None
    assert refusal.name == rule
    assert refusal.detail
    assert find_refusal(at(document), off) is None


def test_after_an_accepted_line_nothing_until_a_key_is_hit() -> None:
    refusal = find_refusal(at("x = f(y)‸\n"), TriggerOptions(), is_after_accepted=True)
    assert refusal is not None
    assert refusal.name == "after-accepted-line"
    assert find_refusal(at("x = f(y)‸\n"), TriggerOptions(after_accepted_line=True), is_after_accepted=True) is None
    assert find_refusal(at("x = f(‸)\n"), TriggerOptions(), is_after_accepted=True) is None, "the line goes on"


@pytest.mark.parametrize(
    "document", ["print(‸)\n", "print('‸')\n", "x = [{‸}],\n", "f(‸) {\n", "    ‸\nx\n", "ab‸ \n", "a.‸;\n"]
)
def test_closers_right_of_the_cursor_are_no_text(document: str) -> None:
    refusal = find_refusal(at(document), TriggerOptions())
    assert (refusal is None) == ("{\n" not in document)


def test_empty_document() -> None:
    refusal = find_refusal(at("\n‸\n"), TriggerOptions())
    assert refusal is not None
    assert refusal.name == "empty-document"


def test_a_language_without_grammar_is_code() -> None:
    assert find_refusal(at("# one ‸\n", "a.unknown"), TriggerOptions(comments=False)) is None

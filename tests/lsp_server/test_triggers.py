from __future__ import annotations

import pytest

from lsp_server.options import TriggerOptions
from lsp_server.request import CompletionRequest
from lsp_server.triggers import find_refusal
from tests.lsp_server.marked_documents import request_at


def at(document: str, path: str = "a.py") -> CompletionRequest:
    return request_at(document, path=path)


@pytest.mark.parametrize(
    ("document", "other", "options", "rule"),
    [
        ("ab‸cd\n", "abcd‸\n", TriggerOptions(), "mid-word"),
        ("ab‸_cd\n", "ab_cd‸\n", TriggerOptions(), "mid-word"),
        ("x = ‸ + 1\n", "x = ‸)\n", TriggerOptions(), "before-text"),
        ("# one ‸\n", "one ‸\n", TriggerOptions(comments=False), "comment"),
    ],
)
def test_each_rule_refuses_its_places_alone(document: str, other: str, options: TriggerOptions, rule: str) -> None:
    refusal = find_refusal(at(document), options)
    assert refusal is not None
    assert refusal.name == rule
    assert refusal.detail
    assert find_refusal(at(other), options) is None


def test_options_switch_typing_and_comments() -> None:
    refusal = find_refusal(at("x = ‸\n"), TriggerOptions(automatic=False))
    assert refusal is not None
    assert refusal.name == "automatic"
    assert find_refusal(at("x = ‸\n"), TriggerOptions()) is None
    assert find_refusal(at("# one ‸\n"), TriggerOptions()) is None


def test_after_an_accepted_line_nothing_until_a_key_is_hit() -> None:
    refusal = find_refusal(at("x = f(y)‸\n"), TriggerOptions(), is_after_accepted=True)
    assert refusal is not None
    assert refusal.name == "after-accepted-line"
    assert find_refusal(at("x = f(‸)\n"), TriggerOptions(), is_after_accepted=True) is None, "the line goes on"


@pytest.mark.parametrize(
    "document",
    [
        "print(‸)\n",
        "print('‸')\n",
        "x = [{‸}],\n",
        "if (‸) {\n",
        "if ‸ {\n",
        "f(‸, {\n",
        "    ‸\nx\n",
        "ab‸ \n",
        "a.‸;\n",
    ],
)
def test_closers_and_the_brace_of_a_header_right_of_the_cursor_are_no_text(document: str) -> None:
    assert find_refusal(at(document), TriggerOptions()) is None


@pytest.mark.parametrize("document", ["x = ‸{\n", "if (‸) { x\n", "f(‸) { {\n", "f(‸ (\n", "x = ‸y\n"])
def test_a_word_and_other_openers_right_of_the_cursor_are_text(document: str) -> None:
    refusal = find_refusal(at(document), TriggerOptions())
    assert refusal is not None
    assert refusal.name == "before-text"


@pytest.mark.parametrize(
    ("document", "is_refused"),
    [
        ("<Foo ‸ />\n", False),
        ("<div>‸</div>\n", False),
        ("(<b>‸</b>);\n", False),
        ("<p>‸ and</p>\n", True),
        ("<Foo bar={‸} />\n", False),
        ('<Foo bar="‸" />\n', False),
        ('<div class="‸"></div>\n', False),
        ("<p><b>‸</b></p>\n", False),
        ('<a href="‸">x</a>\n', True),
        ("/** ‸ */\n", False),
        ("{/* ‸ */}\n", False),
        ("<!-- ‸ -->\n", False),
        ("<%= ‸ %>\n", False),
        ("{% ‸ %}\n", False),
        ("<?php ‸ ?>\n", False),
        ("(* ‸ *)\n", False),
        ("{- ‸ -}\n", False),
        ("x = ‸ - 1}\n", True),
        ("a ‸ */ b\n", True),
    ],
)
def test_the_end_of_a_tag_or_a_comment_right_of_the_cursor_is_no_text(document: str, is_refused: bool) -> None:
    assert (find_refusal(at(document, "a.tsx"), TriggerOptions()) is not None) == is_refused


def test_empty_document() -> None:
    refusal = find_refusal(at("\n‸\n"), TriggerOptions())
    assert refusal is not None
    assert refusal.name == "empty-document"


@pytest.mark.parametrize(
    ("document", "path", "is_refused"),
    [
        ("-- one ‸\n", "a.lua", True),
        ("  # one ‸\n", "a.sh", True),
        ("/*\n * one ‸\n", "a.kt", True),
        (" * one ‸\n", "a.kt", False),
        ("x = 1 ‸\n", "a.lua", False),
        ("- ‸\n", "a.yaml", False),
        ("* ‸\n", "a.md", False),
        ("name: x  # one ‸\n", "a.yaml", True),
        ("name: x\t# one ‸\n", "a.yaml", True),
        ("name: 'x # one ‸\n", "a.yaml", False),
        ("name: 'x # y' + ‸\n", "a.yaml", False),
        ("name: 'x # y'  # one ‸\n", "a.yaml", True),
        ("name: x#‸\n", "a.yaml", False),
        ("val s = 1 // one ‸\n", "a.kt", True),
        ('val s = "http://one ‸\n', "a.kt", False),
        ("Dim x ' one ‸\n", "a.vb", True),
        ("x = 1  # one ‸\n", "a.py", True),
        ("x = '# one ‸'\n", "a.py", False),
        ("x = '/*' + f(‸)\n", "a.js", False),
        ("/* one */ f(‸)\n", "a.js", False),
    ],
)
def test_a_line_that_begins_or_ends_as_a_comment_is_one(document: str, path: str, is_refused: bool) -> None:
    refusal = find_refusal(at(document, path), TriggerOptions(comments=False))
    assert (refusal is not None) == is_refused


def test_a_language_without_grammar_is_code() -> None:
    assert find_refusal(at("# one ‸\n", "a.unknown"), TriggerOptions(comments=False)) is None

from __future__ import annotations

import pytest

from lsp_server import triggers
from lsp_server.options import TriggerOptions
from lsp_server.request import CompletionRequest
from lsp_server.syntax.grammars import MAX_PARSED_CHARS
from lsp_server.syntax.parsed_text import ParsedText
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
        (f"# one ‸\n{' ' * MAX_PARSED_CHARS}", "a.py", True),
    ],
)
def test_without_a_tree_a_line_that_begins_as_a_comment_is_one(document: str, path: str, is_refused: bool) -> None:
    refusal = find_refusal(at(document, path), TriggerOptions(comments=False))
    assert (refusal is not None) == is_refused


@pytest.mark.parametrize(
    ("document", "path", "is_refused", "is_parsed"),
    [
        ("x = 1 ‸\n", "a.py", False, False),
        ("x = /* one */ f(‸\n", "a.js", False, False),
        ("/* one\n two ‸\n*/", "a.js", True, True),
        ("/* /* one */ two ‸\n*/", "a.rs", True, True),
        ("/*\n/* one */\ntwo ‸\n*/", "a.rs", True, True),
        ("f('**/*.js', '**/') /* ‸ */", "a.js", True, True),
        ("x = '# one ‸'\n", "a.py", False, True),
        ("=begin\none ‸\n=end\n", "a.rb", True, True),
        ("x = 1 ‸\n", "a.rb", False, False),
    ],
)
def test_the_text_is_parsed_only_if_the_line_may_be_a_comment(
    document: str, path: str, is_refused: bool, is_parsed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    monkeypatch.setattr("lsp_server.triggers.ParsedText", lambda *given: parsed.append(path) or ParsedText(*given))
    refusal = find_refusal(at(document, path), TriggerOptions(comments=False))
    assert (refusal is not None, bool(parsed)) == (is_refused, is_parsed)


@pytest.mark.parametrize(
    ("line", "path", "is_refused"),
    [
        ("# one ‸", "a.py", True),
        ("x = 1  # one ‸", "a.py", True),
        ("x = '# one ‸'", "a.py", False),
        ("/*\n * one ‸", "a.js", True),
        ("x = '/*' + f(‸)", "a.js", False),
        ("/* one */ f(‸)", "a.js", False),
    ],
)
def test_a_long_text_is_not_parsed_while_the_event_loop_waits(
    line: str, path: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("it is parsed")

    monkeypatch.setattr("lsp_server.triggers.ParsedText", fail)
    document = f"{line}\n" + "x = 1\n" * (triggers.MAX_CHARS_IN_LOOP // 6)
    assert (find_refusal(at(document, path), TriggerOptions(comments=False)) is not None) == is_refused
    with pytest.raises(AssertionError, match="it is parsed"):
        find_refusal(at(f"{line}\n", path), TriggerOptions(comments=False))


def test_a_language_without_grammar_is_code() -> None:
    assert find_refusal(at("# one ‸\n", "a.unknown"), TriggerOptions(comments=False)) is None

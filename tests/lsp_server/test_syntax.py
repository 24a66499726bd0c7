from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.options import TriggerOptions
from lsp_server.request import CompletionRequest
from lsp_server.suggestion.refine import refine
from lsp_server.syntax.grammars import (
    MAX_PARSED_CHARS,
    Grammar,
    NoTreeError,
    _load,
    find_grammar,
    language_name,
    load_language,
)
from lsp_server.syntax.parsed_text import ParsedText, begins_block
from lsp_server.triggers import find_refusal
from tests.lsp_server.marked_documents import request_at

FILES = ["a.py", "a.js", "a.jsx", "a.ts", "a.tsx", "a.java", "a.c", "a.cpp", "a.cs", "a.go", "a.rs", "a.php", "a.rb"]


@pytest.mark.parametrize("path", FILES)
def test_every_grammar_loads_and_reads_its_hole(path: str) -> None:
    grammar = find_grammar(path)
    assert grammar is not None
    assert load_language(grammar)
    lead = {"a.php": "<?php\n", "a.go": "package a\nfunc f() {\n", "a.java": "class A { void f() {\n"}
    end = {"a.go": "\n}", "a.java": "\n} }"}
    assert ParsedText(lead.get(path, "") + grammar.hole + end.get(path, ""), grammar).errors() == 0


def test_name_goes_before_what_the_editor_says() -> None:
    assert language_name("a.py", "rust") == "Python"
    assert language_name("Untitled-1", "rust") == "Rust"
    assert find_grammar("Untitled-1", "klingon") is None


@pytest.mark.parametrize(
    ("path", "document", "begins"),
    [
        ("a.py", "def f(x):‸\n\ny = 1\n", True),
        ("a.py", "def f(x):\n    ‸\n\ny = 1\n", True),
        ("a.py", 'def f(x):\n    """Doc."""\n    ‸\n', True),
        ("a.py", "class A:\n    def f(self):\n        ‸\n\n    def g(self):\n        pass\n", True),
        ("a.py", "def f(x):\n    a = 1\n    ‸\n", False),
        ("a.py", "def f(x):\n    ‸\n    a = 1\n", False),
        ("a.py", "x = {'a':‸}", False),
        ("a.py", "x = 1\n‸\n", False),
        ("a.py", "def f(x): ‸return x\n", False),
        ("a.js", "function f(x) {‸}\n", True),
        ("a.js", "if (x) {‸\n\nfoo();\n", True),
        ("a.js", "const a = {‸}", False),
        ("a.js", "it('x', async () => {‸});\n", True),
        ("a.ts", "const f = (): void => {‸};\n", True),
        ("a.ts", "const a = { f() {‸}, };\n", True),
        ("a.rs", "fn f() {\n    match x {\n        1 => {‸},\n    }\n}\n", True),
        ("a.cpp", "struct A {‸};\n", False),
        ("a.ts", "const a = {‸};\n", False),
        ("a.ts", "run(() => {‸}, 100);\n", False),
        ("a.py", "f(lambda a:‸),\n", False),
        ("a.js", "const f = (x) => {\n  ‸\n}\n", True),
        ("a.ts", "interface A {\n  ‸\n}\n", False),
        ("a.java", "class A { A() {\n  ‸\n} }", True),
        ("a.c", "int f(int x) {\n  ‸\n}\n", True),
        ("a.go", "package a\nfunc f() {\n\t‸\n}\n", True),
        ("a.go", "package a\nfunc f() {\n\tg()\n\t‸\n}\n", False),
        ("a.rs", "fn f() -> u8 {\n    if x {\n        ‸\n    }\n}\n", True),
        ("a.rb", "def f\n  ‸\nend\n", True),
    ],
)
def test_where_a_block_begins(path: str, document: str, begins: bool) -> None:
    grammar = find_grammar(path)
    assert grammar is not None
    assert begins_block(document.replace("‸", ""), document.index("‸"), grammar) is begins


@pytest.mark.parametrize(
    ("path", "document", "begins"),
    [
        ("a.go", "package a\nfunc f() {\n\tif x {\n\t\t‸\n\treturn\n}\n", True),
        ("a.js", "it('x', () => {\n  ‸\n\nit('y', () => {});\n", True),
        ("a.js", "const a = {\n  ‸\nf();\n", False),
        ("a.cpp", "namespace a {\n  ‸\nint x;\n", False),
        ("a.py", "a = {\n    ‸\nf()\n", False),
    ],
)
def test_where_a_block_begins_whose_brace_is_missing(path: str, document: str, begins: bool) -> None:
    grammar = find_grammar(path)
    assert grammar is not None
    text, offset = document.replace("‸", ""), document.index("‸")
    assert begins_block(text, offset, grammar, is_unclosed=True) is begins
    assert not begins_block(text, offset, grammar), "what follows counts as the body"


@pytest.mark.parametrize(
    ("path", "document", "is_comment"),
    [
        ("a.py", "x = 1  # one‸\n", True),
        ("a.py", "x = 1  # one\n‸", False),
        ("a.py", "x = 'é𝕏b‸c'", False),
        ("a.py", "x = 'abc'‸", False),
        ("a.py", "'''doc\n ‸\n'''", False),
        ("a.js", "/* one ‸ */", True),
        ("a.js", "/* one */‸", False),
        ("a.js", "let a = `x${b /* c‸ */}`", True),
        ("a.rs", "// x‸\nfn a() {}", True),
        ("a.rs", "/// Doc.‸\nfn a() {}", True),
        ("a.rs", "/// Doc.\n‸fn a() {}", False),
        ("a.rs", "/// Doc.\n‸\n", False),
        ("a.rb", "=begin\none ‸\n=end\n", True),
    ],
)
def test_where_comments_are(path: str, document: str, is_comment: bool) -> None:
    grammar = find_grammar(path)
    assert grammar is not None
    assert ParsedText(document.replace("‸", ""), grammar).is_comment_at(document.index("‸")) is is_comment


@pytest.mark.parametrize(
    "module", [None, SimpleNamespace(), SimpleNamespace(language=lambda: 0), SimpleNamespace(language=lambda: "0")]
)
def test_a_language_whose_grammar_does_not_load_is_served_without(
    module: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    grammar = Grammar(module="a_broken_one", hole="x", blocks=frozenset(), strings=frozenset(), is_indented=True)
    monkeypatch.setitem(sys.modules, grammar.module, module)
    _load.cache_clear()
    with pytest.raises(NoTreeError):
        ParsedText("x = 1\n", grammar)
    monkeypatch.setattr("lsp_server.request.find_grammar", lambda *_: grammar)
    request = CompletionRequest(text="# x = \n", offset=6, path="a.py")
    assert refine("f(]\n", request).text == "f(]"
    assert find_refusal(request, TriggerOptions(comments=False)) is not None
    assert not begins_block("def f():\n    ", 13, grammar)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("above", "answer"),
    [
        ("def f(x):\n    ‸\n", "    for y in xs"),
        ("def f(x):\n    ‸\n", "    async for y in xs"),
        ("def f(x):\n    ‸\n", "    with a as b"),
        ("def f(x):\n    ‸\n", "    class A"),
        ("def f(x):\n    ‸\n", "    if x[1:"),
        ("try:\n    f()\n‸\n", "except E"),
        ("try:\n    f()\n‸\n", "finally"),
        ("if x:\n    f()\n‸\n", "elif y"),
        ("if x:\n    f()\n‸\n", "else"),
        ("match x:\n    ‸\n", "    case 1"),
    ],
)
def test_a_header_of_python_may_wait_for_its_colon(above: str, answer: str) -> None:
    assert refine(answer, request_at(above, path="a.py")).text == answer.lstrip()


@pytest.mark.parametrize(
    ("path", "document", "answer"),
    [
        ("a.cpp", "void f() {\n  ‸\n}\n", "  try {"),
        ("a.c", "‸\n", "#ifdef A"),
        ("a.php", "<?php\n‸\n", "#[Entity]"),
        ("a.ts", "‸\n", "type A = B<"),
        ("a.ts", "‸\n", "import { a }"),
        ("a.rs", "‸\n", "fn f<"),
        ("a.py", "s = '''a\n‸\n", "b c) d"),
    ],
)
def test_what_a_line_lacks_may_come_below_or_behind_it(path: str, document: str, answer: str) -> None:
    assert refine(answer, request_at(document, path=path)).text == answer.lstrip()


def test_of_what_does_not_parse_no_single_character_is_left() -> None:
    refined = refine("a b", CompletionRequest(text="x = f()\n", offset=6, path="a.py"))
    assert (refined.text, refined.rule) == ("", "syntax")


def test_the_cursor_belongs_before_the_closers_that_an_answer_gets() -> None:
    refined = refine("() => {", CompletionRequest(text="f();\n", offset=2, path="a.ts"))
    assert (refined.text, refined.added) == ("() => {}", 1)


def test_huge_files_are_not_parsed() -> None:
    grammar = find_grammar("a.py")
    assert grammar is not None
    text = "def f():\n    " + "\n" * MAX_PARSED_CHARS
    assert not begins_block(text, 13, grammar)


EDITS = st.tuples(st.integers(0, 60), st.integers(0, 6), st.text(alphabet="ab():\n é𝕏'", max_size=8))


@given(EDITS)
def test_edited_text_is_read_as_if_it_were_new(edit: tuple[int, int, str]) -> None:
    text = "def f(é):\n    x = '𝕏'\n    return g(x)\n\n\nclass A:\n    y = 1\n"
    grammar = find_grammar("a.py")
    assert grammar is not None
    start, removed, inserted = edit
    edited = ParsedText(text, grammar).edited(min(start, len(text)), removed, inserted)
    anew = ParsedText(text[:start] + inserted + text[start + removed :], grammar)
    assert edited.source == anew.source
    assert (edited.errors() == 0) == (anew.errors() == 0)
    if anew.errors() == 0:
        assert str(edited.root) == str(anew.root)

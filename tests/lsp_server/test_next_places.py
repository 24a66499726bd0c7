from __future__ import annotations

import pytest

from lsp_server.looking_ahead import place_after_accepting, place_of_first_key
from lsp_server.syntax.grammars import find_grammar


@pytest.mark.parametrize(
    ("document", "suggestion", "replaces", "after"),
    [
        ("x = ‸", "1", 0, "x = 1\n‸"),
        ("x = ‸\ny\n", "1", 0, "x = 1\n‸\ny\n"),
        ("f(‸)\n", "a)", 1, "f(a)\n‸\n"),
        ("f(‸)  \n", "a", 0, None),
        ("def f():‸\n", "\n    return 1", 0, "def f():\n    return 1\n    ‸\n"),
        ("func f() {‸}\n", "\n\ta := 1\n", 0, None),
        ("  f() {‸}\n", "", 0, "  f() {\n    ‸\n  }\n"),
        ("g(() => ‸);\n", "{", 0, None),
        ("g(() => {‸});\n  x\n", "", 0, "g(() => {\n  ‸\n});\n  x\n"),
        ("  a = {‸} + b\n", "", 0, None),
        ("f(‸)\n", "", 0, None),
        ("def ‸\n", "f(w, h):", 0, "def f(w, h):\n    ‸\n"),
        ("if x:\n  y\nif ‸\n", "z:", 0, "if x:\n  y\nif z:\n  ‸\n"),
        ("func f() {\n\treturn\n}\n\nfunc g() ‸", "{", 0, "func f() {\n\treturn\n}\n\nfunc g() {\n\t‸"),
        ("  // see: ‸\n", "the note:", 0, "  // see: the note:\n  ‸\n"),
        ("/*\n * ‸\n", "see:", 0, "/*\n * see:\n ‸\n"),
        ("#box ‸\n", "{", 0, "#box {\n    ‸\n"),
        ("  const a = ‸\n", "[", 0, "  const a = [\n    ‸\n"),
    ],
)
def test_where_the_user_will_be(document: str, suggestion: str, replaces: int, after: str | None) -> None:
    offset = document.index("‸")
    found = place_after_accepting(document.replace("‸", ""), offset, suggestion, replaces)
    assert (found and f"{found[0][: found[1]]}‸{found[0][found[1] :]}") == after


def test_text_behind_the_cursor_on_a_blank_line_is_no_place_of_a_first_key() -> None:
    assert place_of_first_key("    x\n", 2) is None
    assert place_of_first_key("    \n", 2) == ("    \n", 2)


def test_a_suggestion_that_ends_within_its_line_is_followed_by_its_rest() -> None:
    assert place_after_accepting("f()\n", 2, "a, ", is_whole=False) == ("f(a, )\n", 5)


@pytest.mark.parametrize(
    ("path", "document", "after"),
    [
        ("a.py", "def f():\n  if x:\n    return x‸\n", "def f():\n  if x:\n    return x\n  ‸\n"),
        ("a.py", "def f():\n\tpass‸\n", "def f():\n\tpass\n‸\n"),
        ("a.py", "def f():\n    raise Error(‸\n", "def f():\n    raise Error(\n        ‸\n"),
        ("a.py", "def f():\n    return f(a,‸\n", "def f():\n    return f(a,\n    ‸\n"),
        ("a.py", "def f():\n    return a + \\‸\n", "def f():\n    return a + \\\n    ‸\n"),
        ("a.py", "def f():\n    returned = 1‸\n", "def f():\n    returned = 1\n    ‸\n"),
        ("a.rb", "def f\n  return 1‸\n", "def f\n  return 1\n  ‸\n"),
        ("a.go", "func f() {‸\n", "func f() {\n\t‸\n"),
    ],
)
def test_where_indentation_ends_a_block_its_last_line_is_followed_by_an_outer_one(
    path: str, document: str, after: str
) -> None:
    offset, grammar = document.index("‸"), find_grammar(path)
    for found in (
        place_of_first_key(document.replace("‸", ""), offset, grammar),
        place_after_accepting(
            document[: offset - 1] + document[offset + 1 :], offset - 1, document[offset - 1], grammar=grammar
        ),
    ):
        assert (found and f"{found[0][: found[1]]}‸{found[0][found[1] :]}") == after

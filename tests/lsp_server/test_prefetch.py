from __future__ import annotations

import pytest

from lsp_server.next_places import place_after_accepting


@pytest.mark.parametrize(
    ("document", "suggestion", "replaces", "after"),
    [
        ("x = ‸", "1", 0, "x = 1\n‸"),
        ("x = ‸\ny\n", "1", 0, "x = 1\n‸\ny\n"),
        ("f(‸)\n", "a)", 1, "f(a)\n‸\n"),
        ("f(‸)  \n", "a", 0, None),
        ("def f():‸\n", "\n    return 1", 0, "def f():\n    return 1\n    ‸\n"),
        ("func f() {‸}\n", "\n\ta := 1\n", 0, None),
        ("def ‸\n", "f(w, h):", 0, "def f(w, h):\n    ‸\n"),
        ("if x:\n  y\nif ‸\n", "z:", 0, "if x:\n  y\nif z:\n  ‸\n"),
        ("func f() {\n\treturn\n}\n\nfunc g() ‸", "{", 0, "func f() {\n\treturn\n}\n\nfunc g() {\n\t‸"),
        ("  const a = ‸\n", "[", 0, "  const a = [\n    ‸\n"),
    ],
)
def test_where_the_user_will_be(document: str, suggestion: str, replaces: int, after: str | None) -> None:
    offset = document.index("‸")
    found = place_after_accepting(document.replace("‸", ""), offset, suggestion, replaces)
    assert (found and f"{found[0][: found[1]]}‸{found[0][found[1] :]}") == after


def test_a_suggestion_that_ends_within_its_line_is_followed_by_its_rest() -> None:
    assert place_after_accepting("f()\n", 2, "a, ", is_whole=False) == ("f(a, )\n", 5)

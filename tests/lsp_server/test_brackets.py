from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.suggestion.brackets import SIDE_CHARS, insertable, open_at_cursor, open_at_end, outer_closers
from lsp_server.suggestion.indentation import TAB_WIDTH, indent_unit, reindent, strip_typed, width


@pytest.mark.parametrize(
    ("line", "waiting"),
    [
        ("f(a, [b", ")]"),
        ("f(')'", ")"),
        ("f('a", ")'"),
        ("it's (", ")"),
        ("f(1'000, ", ")"),
        ("f(4'b0, ", ")"),
        ("f(b'0, ", ")'"),
        (r"'\'", "'"),
        ("a) b(", ")"),
        ("&'a (", ")"),
        ("Foo<'_>, (", ")"),
        ("if c <'_' (", ")"),
        ("fn f<T: 'static>(", ")"),
        ("where T: 'static + Send, F: Fn(", ")"),
        ("{ root: 'static", "}'"),
        ("f('static', (", "))"),
        ('f("""a "b', ')"""'),
        ('f("""a""", ""', ")"),
        ("'''it's", "'''"),
    ],
)
def test_what_is_open_at_the_end_of_a_line(line: str, waiting: str) -> None:
    assert open_at_end(line) == waiting


@given(st.text(alphabet="ab()[]{}", max_size=20))
def test_outer_closers_are_those_that_a_naive_match_leaves_over(text: str) -> None:
    depth: list[str] = []
    naive = []
    for index, character in enumerate(text):
        if character in "([{":
            depth.append({"(": ")", "[": "]", "{": "}"}[character])
        elif character in ")]}":
            if depth and depth[-1] == character:
                depth.pop()
            elif not depth:
                naive.append(index)
    assert outer_closers(text, "") == naive


def test_a_quote_that_is_open_before_the_text_is_closed_by_it() -> None:
    assert outer_closers('fs");', ')"') == [2, 3]
    assert outer_closers('a("b")', ")") == []
    assert outer_closers('say "hi".""")', ')"""') == [9, 10, 11, 12]


@pytest.mark.parametrize(
    ("before", "after", "waiting"),
    [
        ('f"{', '}"', '"}'),
        ("f(`a ${g('", "')}`)", ")`})'"),
        ('f"{', ' }"', '"}'),
        ('"{', '"', '"'),
        ('"""{', '}"""', '"""}'),
        ("f(", "}", ")"),
        ("", "}", ""),
    ],
)
def test_a_string_holds_code_if_its_bracket_is_closed_at_the_cursor(before: str, after: str, waiting: str) -> None:
    assert open_at_cursor(before, after) == waiting


def test_of_a_long_line_its_end_is_read() -> None:
    assert open_at_cursor("(" + "x" * SIDE_CHARS, ")") == ""
    assert open_at_cursor("x" * SIDE_CHARS + "(", ")") == ")"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("def f():\n    a\n    b\n", "    "),
        ("f {\n\ta\n\t\tb\n}", "\t"),
        ("a\n  b\n    c\n  d", "  "),
        ("a\nb", None),
        ("/*\n * a\n */", None),
        ("/*\n  * a\n  */\nf {\n    b\n}\n", "    "),
        ("a\n b\n", None),
        ("a\n    b\n\tc\n" * 4, None),
        ("a\n\tb\n\tc\n\td\n" * 3 + "    e\n", "\t"),
    ],
)
def test_what_a_document_indents_with(text: str, unit: str | None) -> None:
    assert indent_unit(text) == unit


def test_in_a_long_document_the_text_around_the_cursor_shows_it() -> None:
    spaces, tabs = "a\n    b\n" * 8000, "a\n\tb\n" * 12000
    assert indent_unit(spaces + tabs, 0) == "    "
    assert indent_unit(spaces + tabs, len(spaces + tabs)) == "\t"


def test_a_tab_ends_at_a_multiple_of_its_width() -> None:
    assert width("  \t") == TAB_WIDTH
    assert width("\t  \t ") == 2 * TAB_WIDTH + 1


@given(st.text(alphabet=" \t", max_size=8))
def test_tabs_keep_the_width(white_space: str) -> None:
    tabbed = reindent(white_space, "\t")
    assert width(tabbed) == width(white_space)
    assert tabbed.count(" ") < TAB_WIDTH


@pytest.mark.parametrize(
    ("line", "typed", "expected"),
    [
        ("    return", "    ", ("return", False)),
        ("        return", "    ", ("    return", False)),
        ("return", "    ", ("return", True)),
        ("\treturn", "    ", ("return", False)),
        ("  ", "    ", ("", False)),
    ],
)
def test_typed_indentation_is_taken_off(line: str, typed: str, expected: tuple[str, bool]) -> None:
    assert strip_typed(line, typed) == expected


@pytest.mark.parametrize(
    ("text", "replaced", "before", "inserted"),
    [
        ("x", "", "f(", "x"),
        ("x)", ")", "f(", "x"),
        ("x):", "):", "f(", "x"),
        ("x, y) + 1", ")", "f(", "x, y"),
        ("g(x)) + 1", ")", "f(", "g(x)"),
        (")", ")", "f(", ""),
        ('x}", y)', '}")', 'print(f"{', "x"),
    ],
)
def test_what_is_inserted_ends_before_the_closers_that_stay(
    text: str, replaced: str, before: str, inserted: str
) -> None:
    assert insertable(text, replaced, before) == inserted

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from lsp_server.open_documents import Document
from lsp_server.positions import Encoding


def make_document(text: str, encoding: Encoding = Encoding.UTF16) -> Document:
    item = types.TextDocumentItem(uri="file:///a.py", language_id="python", version=1, text=text)
    return Document(item, encoding)


def change(start: tuple[int, int], end: tuple[int, int], text: str) -> types.TextDocumentContentChangePartial:
    where = types.Range(start=types.Position(*start), end=types.Position(*end))
    return types.TextDocumentContentChangePartial(range=where, text=text)


@given(
    text=st.text(alphabet="ab𝕏é\n\f", max_size=30),
    places=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    inserted=st.text(alphabet="xy𝕏\n", max_size=5),
)
def test_edit_by_position_is_edit_by_offset(text: str, places: tuple[int, int], inserted: str) -> None:
    first, last = sorted(min(place, len(text)) for place in places)

    def position(offset: int) -> tuple[int, int]:
        lines = text[:offset].split("\n")
        return len(lines) - 1, len(lines[-1].encode("utf-16-le")) // 2

    document = make_document(text)
    document.apply_change(change(position(first), position(last), inserted))
    assert document.source == text[:first] + inserted + text[last:]


@given(
    text=st.text(alphabet="ab\r\n", max_size=20),
    edits=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 9), st.integers(0, 3), st.sampled_from("x\r\n")),
        max_size=8,
    ),
)
def test_lines_that_are_kept_are_those_of_the_text(text: str, edits: list[tuple[int, int, int, int, str]]) -> None:
    document = make_document(text)
    for line, character, last_line, last_character, inserted in edits:
        fresh = make_document(document.source)  # which has kept nothing
        for one in (fresh, document):
            one.apply_change(change((line, character), (last_line, last_character), inserted))
        assert document.source == fresh.source
        for number in range(12):
            there = types.Position(number, 1)
            assert document.clamp(there) == make_document(document.source).clamp(there)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\fb\ncd", "a\fb\nXcd"),  # a form feed ends no line
        ("a\r\ncd", "a\r\nXcd"),
        ("a\u2028b\ncd", "a\u2028b\nXcd"),
    ],
)
def test_lines_are_counted_as_editors_count_them(text: str, expected: str) -> None:
    document = make_document(text)
    document.apply_change(change((1, 0), (1, 0), "X"))
    assert document.source == expected


def test_position_past_the_end_is_clamped() -> None:
    document = make_document("ab\ncd")
    assert document.offset_at_position(types.Position(line=1, character=99)) == 5
    assert document.offset_at_position(types.Position(line=0, character=99)) == 2
    assert document.offset_at_position(types.Position(line=99, character=0)) == 5
    assert make_document("").offset_at_position(types.Position(line=0, character=0)) == 0


def test_change_without_a_range_is_the_whole_text() -> None:
    document = make_document("ab")
    document.apply_change(types.TextDocumentContentChangeWholeDocument(text="cd"))
    assert document.source == "cd"


def test_negotiated_encoding_counts() -> None:
    document = make_document("é𝕏x", Encoding.UTF8)
    document.apply_change(change((0, 6), (0, 7), "y"))
    assert document.source == "é𝕏y"

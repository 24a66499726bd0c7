from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.positions import Encoding, clamp, offset_at
from lsp_server.request import line_end_of
from lsp_server.serve_errors import ServeError

TEXTS = st.text(alphabet="ab é𝕏\n\r\f\u2028", max_size=40)
CODECS = {Encoding.UTF8: ("utf-8", 1), Encoding.UTF16: ("utf-16-le", 2), Encoding.UTF32: ("utf-32-le", 4)}


def position_of(text: str, offset: int, encoding: Encoding) -> tuple[int, int]:
    """The naive way: split what lies before, encode the last piece, count bytes."""
    lines = re.split("\r\n|\r|\n", text[:offset])
    codec, width = CODECS[encoding]
    return len(lines) - 1, len(lines[-1].encode(codec)) // width


@given(text=TEXTS, place=st.integers(0, 40), encoding=st.sampled_from(Encoding))
def test_every_offset_comes_back(text: str, place: int, encoding: Encoding) -> None:
    offset = min(place, len(text))
    if text[offset - 1 : offset + 1] == "\r\n":  # between the two is no position
        offset += 1
    line, character = position_of(text, offset, encoding)
    assert offset_at(text, line, character, encoding) == offset
    assert clamp(text, line, character, encoding)[0] == offset


@given(text=TEXTS, line=st.integers(0, 9), character=st.integers(0, 50), encoding=st.sampled_from(Encoding))
def test_outside_is_refused_or_clamped(text: str, line: int, character: int, encoding: Encoding) -> None:
    clamped = clamp(text, line, character, encoding)[0]
    lines = re.split("\r\n|\r|\n", text)
    codec, width = CODECS[encoding]
    if line >= len(lines):
        assert clamped == len(text)
        with pytest.raises(ServeError, match=f"Line {line} .* 0 to {len(lines) - 1};"):
            offset_at(text, line, character, encoding)
        return
    units = len(lines[line].encode(codec)) // width
    assert position_of(text, clamped, encoding)[0] == line
    if character > units:
        assert clamped == offset_at(text, line, units, encoding)
        with pytest.raises(ServeError, match=f"Character {character} .* 0 to {units};"):
            offset_at(text, line, character, encoding)


@given(text=TEXTS, line=st.integers(0, 9), character=st.integers(0, 50), encoding=st.sampled_from(Encoding))
def test_clamped_position_is_that_of_the_clamped_offset(
    text: str, line: int, character: int, encoding: Encoding
) -> None:
    offset, *clamped = clamp(text, line, character, encoding)
    assert offset_at(text, clamped[0], clamped[1], encoding) == offset == clamp(text, line, character, encoding)[0]
    lines = re.split("\r\n|\r|\n", text)
    assert clamped[0] == min(line, len(lines) - 1)
    codec, width = CODECS[encoding]
    assert clamped[1] <= len(lines[clamped[0]].encode(codec)) // width


@pytest.mark.parametrize("encoding", [Encoding.UTF8, Encoding.UTF16])
def test_each_unit_of_a_line_is_found(encoding: Encoding) -> None:
    """Compared with a walk: the code point that holds the unit."""
    line = "a𝕏é\ud835b\udd4f€𝕏𝕏c"
    size = len if encoding is Encoding.UTF8 else lambda data: len(data) // 2
    codec = CODECS[encoding][0]
    owners = [i for i, symbol in enumerate(line) for _ in range(size(symbol.encode(codec, "surrogatepass")))]
    for character, place in enumerate([*owners, len(line), len(line)]):
        assert clamp(f"{line}\nnext", 0, character, encoding)[0] == place
    assert clamp(line, 0, -1, encoding)[0] == 0


def test_surrogate_pairs_count_two_in_utf16() -> None:
    text = 'x = "😋"\n'
    assert [offset_at(text, 0, character) for character in (5, 6, 7, 8)] == [5, 5, 6, 7]
    assert offset_at(text, 0, 9, Encoding.UTF8) == 6
    assert offset_at(text, 0, 6, Encoding.UTF32) == 6


@pytest.mark.parametrize(("line", "character"), [(-1, 0), (0, -1), (2, 0), (1, 1)])
def test_position_outside_the_file(line: int, character: int) -> None:
    with pytest.raises(ServeError, match="is outside"):
        offset_at("ab\n", line, character)


@pytest.mark.parametrize(
    ("text", "line_end"),
    [("", "\n"), ("a\nb\n", "\n"), ("a\r\nb\r\n", "\r\n"), ("a\nb\nc\r\n", "\n"), ("a\r\n", "\r\n")],
)
def test_a_text_s_line_end_is_that_of_most_lines(text: str, line_end: str) -> None:
    assert line_end_of(text) == line_end

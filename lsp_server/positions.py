"""Positions of the language server protocol to offsets into a text.

Lines end at LF, CRLF or CR and nowhere else; `str.splitlines`, which pygls uses, also splits at form feeds and seven
more characters, and so counts the lines of some files otherwise than editors do. Characters are counted in the code
units that client and server agreed on. The command line refuses a position outside the file; the protocol asks to
clamp it.
"""

from __future__ import annotations

import re
import sys
from enum import StrEnum

from lsp_server.errors import ServeError

_LINE_END = re.compile(r"\r\n|\n|\r")


class Encoding(StrEnum):
    """The unit in which a position counts characters; the values are the protocol's names."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


def offset_at(text: str, line: int, character: int, encoding: Encoding = Encoding.UTF16) -> int:
    """The offset into `text` (code points) of a 0-based position; of a place within a surrogate pair, that before it.

    Raises ServeError where the file has no such line, or the line no such character.
    """
    bounds = _line_bounds(text, line)
    if bounds is None:
        last = sum(1 for _ in _LINE_END.finditer(text))
        raise ServeError(f"Line {line} is outside the file, whose lines are 0 to {last}; give a line within it.")
    start, end = bounds
    index, units = _count(text[start:end], character, encoding)
    if not 0 <= character <= units:
        raise ServeError(
            f"Character {character} is outside line {line}, whose {encoding.upper()} characters are 0 to {units}; "
            "give a character within it."
        )
    return start + index


def clamped_offset_at(text: str, line: int, character: int, encoding: Encoding = Encoding.UTF16) -> int:
    """Like `offset_at`, but a character past its line's end stands for that end, a line past the last for the end."""
    bounds = _line_bounds(text, line)
    if bounds is None:
        return len(text)
    start, end = bounds
    return start + _count(text[start:end], character, encoding)[0]


def clamped_position(text: str, line: int, character: int, encoding: Encoding = Encoding.UTF16) -> tuple[int, int]:
    """Line and character of the place that `clamped_offset_at` takes a position for."""
    bounds = _line_bounds(text, line)
    if bounds is None:
        ends = [match.end() for match in _LINE_END.finditer(text)]
        line, bounds, character = len(ends), (ends[-1] if ends else 0, len(text)), sys.maxsize
    _, units = _count(text[slice(*bounds)], character, encoding)
    return line, max(0, min(character, units))


def _line_bounds(text: str, line: int) -> tuple[int, int] | None:
    """Start and end of a line, its line end not included; None where there are not that many."""
    start = number = 0
    for match in _LINE_END.finditer(text):
        if number == line:
            return start, match.start()
        start, number = match.end(), number + 1
    return (start, len(text)) if number == line else None


def _count(line: str, character: int, encoding: Encoding) -> tuple[int, int]:
    """Index of the code point at `character` units, within the line, and the whole line's length in units."""
    if encoding is Encoding.UTF32 or line.isascii():
        return max(0, min(character, len(line))), len(line)
    index = units = 0
    for place, symbol in enumerate(line):
        if units <= character:
            index = place
        units += _units(ord(symbol), encoding)
    return len(line) if character >= units else index, units


def units_of(text: str, encoding: Encoding) -> int:
    """How many characters a client counts in a text."""
    if encoding is Encoding.UTF32 or text.isascii():
        return len(text)
    return sum(_units(ord(symbol), encoding) for symbol in text)


def _units(code_point: int, encoding: Encoding) -> int:
    if encoding is Encoding.UTF16:
        return 2 if code_point > 0xFFFF else 1
    return 1 + (code_point > 0x7F) + (code_point > 0x7FF) + (code_point > 0xFFFF)

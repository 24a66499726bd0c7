"""Positions of the language server protocol to offsets into a text.

Lines end at LF, CRLF or CR and nowhere else; `str.splitlines`, which pygls uses, also splits at form feeds and seven
more characters, and so counts the lines of some files otherwise than editors do. Characters are counted in the code
units that client and server agreed on. The command line refuses a position outside the file; the protocol asks to
clamp it.
"""

from __future__ import annotations

import re
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
    number, start, end = _find_line(text, line)
    if number != line:
        raise ServeError(f"Line {line} is outside the file, whose lines are 0 to {number}; give a line within it.")
    index, units = _count(text[start:end], character, encoding)
    if not 0 <= character <= units:
        raise ServeError(
            f"Character {character} is outside line {line}, whose {encoding.upper()} characters are 0 to {units}; "
            "give a character within it."
        )
    return start + index


def clamped_offset_at(text: str, line: int, character: int, encoding: Encoding = Encoding.UTF16) -> int:
    """Like `offset_at`, but a character past its line's end stands for that end, a line past the last for the end."""
    return clamp(text, line, character, encoding)[0]


def clamp(text: str, line: int, character: int, encoding: Encoding = Encoding.UTF16) -> tuple[int, int, int]:
    """The offset into `text`, the line and the character that a position stands for, within the text or not."""
    number, start, end = _find_line(text, line)
    index, units = _count(text[start:end], character, encoding)
    if number != line:
        return len(text), number, units
    return start + index, number, max(0, min(character, units))


def _find_line(text: str, line: int) -> tuple[int, int, int]:
    """Number, start and end of a line, its line end not included; of the last one where there are not that many."""
    start = number = 0
    for match in _LINE_END.finditer(text):
        if number == line:
            return number, start, match.start()
        start, number = match.end(), number + 1
    return number, start, len(text)


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

"""Converts positions of the language server protocol to offsets into a text."""

from __future__ import annotations

import re
from bisect import bisect_left
from enum import StrEnum

from lsp_server.serve_errors import ServeError

_LINE_END = re.compile(r"\r\n|\n|\r")
_LF, _CR = re.compile(r"\n"), re.compile(r"\r")


class Encoding(StrEnum):
    """The unit in which a position counts characters; the values are the protocol's names."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


class LineStarts:
    """Offsets at which the lines of a text begin, found as far as they are needed. An edit keeps those before it."""

    def __init__(self, line_end: re.Pattern[str] = _LINE_END) -> None:
        self._starts = [0]
        self._line_end = line_end

    @classmethod
    def of_one_line_end(cls, text: str) -> LineStarts:
        """Return those of a text of a client whose files have one line end: LF, or CR if there is no LF."""
        return cls(_CR if "\r" in text and "\n" not in text else _LF)

    def find(self, text: str, line: int) -> tuple[int, int, int]:
        """Return number, start and end of a line, without its line end; of the last line if there is no such line."""
        starts = self._starts
        if not 0 <= line < len(starts):
            for match in self._line_end.finditer(text, starts[-1]):
                starts.append(match.end())
                if len(starts) == line + 1:
                    break
        number = line if 0 <= line < len(starts) else len(starts) - 1
        end = self._line_end.search(text, starts[number])
        return number, starts[number], end.start() if end else len(text)

    def note_edit(self, offset: int) -> None:
        """Forget the lines behind `offset`, where the text has changed."""
        del self._starts[max(1, bisect_left(self._starts, offset)) :]


def offset_at(text: str, line: int, character: int, encoding: Encoding = Encoding.UTF16) -> int:
    """Return the offset into `text` (code points) of a 0-based position. A place within a surrogate pair is before it.

    Raises ServeError if the file has no such line, or the line no such character.
    """
    number, start, end = LineStarts().find(text, line)
    if number != line:
        raise ServeError(f"Line {line} is outside the file, whose lines are 0 to {number}; give a line within it.")
    index, units = _count(text[start:end], character, encoding)
    if not 0 <= character <= units:
        raise ServeError(
            f"Character {character} is outside line {line}, whose {encoding.upper()} characters are 0 to {units}; "
            "give a character within it."
        )
    return start + index


def clamp(
    text: str, line: int, character: int, encoding: Encoding = Encoding.UTF16, lines: LineStarts | None = None
) -> tuple[int, int, int]:
    """Return offset into `text` (code points), line and character of a position, clamped to the text."""
    number, start, end = (lines or LineStarts()).find(text, line)
    index, units = _count(text[start:end], character, encoding)
    if number != line:
        return len(text), number, units
    return start + index, number, max(0, min(character, units))


def _count(line: str, character: int, encoding: Encoding) -> tuple[int, int]:
    """Return the index of the code point at `character` units, within the line, and the line's length in units."""
    if encoding is Encoding.UTF32 or line.isascii():
        return max(0, min(character, len(line))), len(line)
    units = units_of(line, encoding)
    if not 0 <= character < units:
        return (0 if character < 0 else len(line)), units
    # A line may be a whole file, so halves of it are counted by codecs, and no character in Python.
    low, high, before = 0, min(len(line), character + 1), 0
    while high - low > 1:
        middle = (low + high) // 2
        counted = before + units_of(line[low:middle], encoding)
        if counted <= character:
            low, before = middle, counted
        else:
            high = middle
    return low, units


def units_of(text: str, encoding: Encoding) -> int:
    """Return how many characters a client counts in a text."""
    if encoding is Encoding.UTF32 or text.isascii():
        return len(text)
    if encoding is Encoding.UTF8:
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2

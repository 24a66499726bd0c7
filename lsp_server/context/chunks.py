"""Files in pieces that are worth showing to a model: whole paragraphs of code, of a bounded length."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

MAX_LINES = 40
_IDENTIFIER = re.compile(r"[^\W\d]\w{2,}")  # shorter ones say nothing


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some lines of a file; `line` is the 0-based number of the first."""

    path: str
    line: int
    text: str

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """The names in it."""
        return frozenset(_IDENTIFIER.findall(self.text))


def split_chunks(path: str, text: str) -> list[Chunk]:
    """The whole text in chunks of at most MAX_LINES lines, cut at blank lines where there are any."""
    lines = text.split("\n")
    chunks, start = [], 0
    while start < len(lines):
        end = min(len(lines), start + MAX_LINES)
        if end < len(lines):
            blank = [number for number in range(start + MAX_LINES // 2, end) if not lines[number].strip()]
            end = blank[-1] + 1 if blank else end
        snippet = "\n".join(lines[start:end])
        if snippet.strip():
            chunks.append(Chunk(path=path, line=start, text=snippet))
        start = end
    return chunks


def chunk_around(path: str, text: str, offset: int) -> Chunk:
    """The lines around a place, half of them on each side."""
    lines = text.split("\n")
    number = text.count("\n", 0, offset)
    start = max(0, min(number - MAX_LINES // 2, len(lines) - MAX_LINES))
    return Chunk(path=path, line=start, text="\n".join(lines[start : start + MAX_LINES]))


def similarity(left: frozenset[str], right: frozenset[str]) -> float:
    """Shared names of all names, 0 to 1 (Jaccard)."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared) if shared else 0.0

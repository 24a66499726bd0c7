"""White space at the start of lines: the document's own kind, and answers brought to it."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

TAB_WIDTH = 4  # columns; what matters is that it is the same for all lines of a text
_SHOWN_CHARS = 32_000  # on either side of the cursor, which show how a document indents
_MIN_MIXED_LINES = 8  # fewer show no habit
_LEAVING = re.compile(r"^\s*+(?:return|continue|break|raise|pass)\b")


def width(white_space: str) -> int:
    """Return the columns that tabs and spaces take."""
    columns = 0
    for character in white_space:
        columns += TAB_WIDTH - columns % TAB_WIDTH if character == "\t" else 1
    return columns


def indent_of(line: str) -> str:
    """Return the tabs and spaces that a line begins with."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def columns_of(line: str) -> int:
    """Return the columns of a line's indentation."""
    return width(line[: len(line) - len(line.lstrip())])


def indent_unit(text: str, offset: int = 0) -> str | None:
    r"""Return what the document indents with around `offset`: "\t", or so many spaces; None if nothing shows it."""
    text = text[max(0, offset - _SHOWN_CHARS) : offset + _SHOWN_CHARS]
    indents = [match.group() for match in re.finditer(r"(?m)^[ \t]+(?=[^\s*])", text)]
    tabs = sum("\t" in indent for indent in indents)
    is_mixed = len(indents) >= _MIN_MIXED_LINES and 4 * min(tabs, len(indents) - tabs) >= len(indents)
    if not indents or is_mixed:
        return None
    if 2 * tabs > len(indents):
        return "\t"
    widths = [len(indent) for indent in indents if "\t" not in indent]
    steps = Counter(after - before for before, after in pairwise([0, *widths]) if after > before and after - before > 1)
    return " " * steps.most_common(1)[0][0] if steps else None


def leaves_block(line: str) -> bool:
    """Return whether a line's statement ends its block, in Python: nothing of the block is reached behind it."""
    return _LEAVING.match(line) is not None


def reindent(white_space: str, unit: str) -> str:
    """Return white space of the same depth, in the document's own kind."""
    if unit == "\t":
        columns = width(white_space)
        return "\t" * (columns // TAB_WIDTH) + " " * (columns % TAB_WIDTH)
    return white_space.replace("\t", unit)


def strip_typed(line: str, typed: str) -> tuple[str, bool]:
    """Remove the indentation that the user has typed already from a line that was written from column 0.

    Return (what is left, whether the line is indented less than that).
    """
    content = line.lstrip(" \t")
    own = line[: len(line) - len(content)]
    if own.startswith(typed):
        return line[len(typed) :], False
    if not content:
        return "", False  # it may still grow
    missing = width(own) - width(typed)
    return " " * max(0, missing) + content, missing < 0

"""Brackets and quotes of one line, read character by character: what is open, and what a text closes from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = frozenset(OPENERS.values())
QUOTES = frozenset("\"'`")
TERMINATORS = frozenset(";:,")
SIDE_CHARS = 2000  # of a line, left and right of the cursor, whose brackets are paired; minified lines are longer
_TRIPLE_QUOTES = ('"""', "'''")
_MARK = re.compile(r"[()\[\]{}\"'`\\]")
_CLOSER = re.compile("|".join([*_TRIPLE_QUOTES, "."]))
_LIFETIME = re.compile(r"(?<=[&<])'[^\W\d](?!')|(?<=[:+] )'static(?=[>,);]| [{+])")  # of Rust
CLOSING = CLOSERS | QUOTES | TERMINATORS | {">"}  # what may stand right of the cursor without being text


# What an editor writes right of the cursor: the rest of a tag or of an attribute, the end of a comment or of a
# template.
CLOSING_MARK = re.compile(r"^[\s)\]}\"'`;,]*+>?(?:/>|\*[/)]|-->|[%?]>|[%-]\}|(?:</[\w.:-]*+>)+)[\s;,)\]}]*+$")


def open_at_end(line: str) -> str:
    """Return the closers that `line` still waits for, innermost last; a quote stands for itself, three of them too."""
    waiting: list[str] = []
    for _ in _scan(line, waiting):
        pass
    return "".join(waiting)


def open_at_cursor(before: str, after: str) -> str:
    """Return the closers that a cursor's line waits for, as `open_at_end` of SIDE_CHARS `before` the cursor."""
    before = before[-SIDE_CHARS:]
    waiting = open_at_end(before)
    quote = waiting[-1:]
    within = open_at_end(before.rpartition(quote)[2]) if quote in QUOTES else ""
    return waiting + within if within and after.lstrip().startswith(within[-1]) else waiting


def outer_closers(text: str, waiting: str) -> list[int]:
    """Return the indices at which `text` closes what was open before it.

    `waiting`: the closers that the line before the text waits for, innermost last. A bracket that nothing in the text
    has opened counts even if `waiting` is empty, since lines above may have opened it.
    """
    outside = _CLOSER.findall(waiting)
    return [index for index, is_outer in _scan(text, outside, len(outside)) if is_outer]


def insertable(text: str, replaced: str, line_before: str) -> str:
    """Return a suggestion for clients that only insert text; `replaced` is the text that it would replace."""
    if not replaced:
        return text
    if text.endswith(replaced):
        return text.removesuffix(replaced)
    closers = outer_closers(text, open_at_cursor(line_before, replaced))
    return text[: closers[0]] if closers else text


def _scan(text: str, waiting: list[str], outside: int = 0) -> Iterator[tuple[int, bool]]:
    """Yield (index, whether it closes one of the first `outside` of `waiting`) of each closer; update `waiting`."""
    end = 0
    while mark := _MARK.search(text, end):
        index, character, width = mark.start(), mark.group(), 1
        closer = waiting[-1] if waiting else ""
        is_quoted = closer[:1] in QUOTES
        if is_quoted and character == "\\":
            width = 2
        elif closer and text.startswith(closer, index):
            waiting.pop()
            width = len(closer)
            yield from ((index + each, len(waiting) < outside) for each in range(width))
            outside = min(outside, len(waiting))
        elif is_quoted:
            pass
        elif character in QUOTES:
            if not _is_apostrophe(text, index):
                width = 3 if text.startswith(_TRIPLE_QUOTES, index) else 1
                waiting.append(text[index : index + width])
        elif character in OPENERS:
            waiting.append(OPENERS[character])
        elif character in CLOSERS and not waiting:
            yield index, True
        end = index + width


def _is_apostrophe(text: str, index: int) -> bool:
    """Return whether a quote stands within a word or a number, or begins a lifetime of Rust."""
    if text[index] != "'":
        return False
    before = text[index - 1] if index else " "
    after = text[index + 1 : index + 2]
    is_in_word = before.isalpha() and after.isalpha() and before not in "bBrRuUfF"
    is_in_number = before.isdigit() and after.isalnum()
    return is_in_word or is_in_number or _LIFETIME.match(text, index) is not None

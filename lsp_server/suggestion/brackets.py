"""Brackets and quotes of one line, read character by character: what is open, and what a text closes from outside.

The scan covers what editors close by themselves. It recognizes neither comments nor strings of several lines; the
syntax tree does.
"""

from __future__ import annotations

from collections.abc import Iterator

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = frozenset(OPENERS.values())
QUOTES = frozenset("\"'`")
TERMINATORS = frozenset(";:,")
CLOSING = CLOSERS | QUOTES | TERMINATORS | {">"}  # what may stand right of the cursor without being text


def open_at_end(line: str) -> str:
    """Return the closers that `line` still waits for, innermost last; a quote stands for itself."""
    waiting: list[str] = []
    for _ in _scan(line, waiting):
        pass
    return "".join(waiting)


def outer_closers(text: str, waiting: str) -> list[int]:
    """Return the indices at which `text` closes what was open before it.

    `waiting`: the closers that the line before the text waits for, innermost last. A bracket that nothing in the text
    has opened counts even if `waiting` is empty, since lines above may have opened it.
    """
    outside = list(waiting)
    return [index for index, is_outer in _scan(text, outside, len(waiting)) if is_outer]


def _scan(text: str, waiting: list[str], outside: int = 0) -> Iterator[tuple[int, bool]]:
    """Yield (index, whether it closes one of the first `outside` of `waiting`) of each closer; update `waiting`."""
    is_escaped = False
    for index, character in enumerate(text):
        quote = waiting[-1] if waiting and waiting[-1] in QUOTES else None
        if is_escaped:
            is_escaped = False
        elif character == "\\" and quote:
            is_escaped = True
        elif quote:
            if character == quote:
                waiting.pop()
                yield index, len(waiting) < outside
                outside = min(outside, len(waiting))
        elif character in QUOTES:
            if not _is_apostrophe(text, index):
                waiting.append(character)
        elif character in OPENERS:
            waiting.append(OPENERS[character])
        elif character in CLOSERS:
            if waiting and waiting[-1] == character:
                waiting.pop()
                yield index, len(waiting) < outside
                outside = min(outside, len(waiting))
            elif not waiting:
                yield index, True


def _is_apostrophe(text: str, index: int) -> bool:
    """Return whether a quote stands within a word, or begins a lifetime of Rust."""
    if text[index] != "'":
        return False
    before = text[index - 1] if index else " "
    after = text[index + 1 : index + 2]
    is_in_word = before.isalpha() and after.isalpha() and before not in "bBrRuUfF"
    return is_in_word or (before in "&<" and after.isalpha())

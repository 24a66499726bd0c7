"""A bound on the time of parsing: a text that takes its grammar too long is served as if there was no grammar.

tree-sitter is fast on code. But it reads an ambiguous text in several ways at once, and where such a text breaks off it
puts together each way that leads there: 4,000 characters of `(a<b>)` take Python's grammar a second, and the time grows
with the square. Nothing can stop it: it does not ask its callback of progress during that step, and Python's lock is
held. So a text is parsed up to one place after the other, each parse going on from the one before, and given up at the
first place that takes too long. A text that differs little from one before, as after a key, is not looked at again.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from tree_sitter import Parser, Point, Tree

from lsp_server.syntax.grammars import MAX_PARSED_CHARS, Grammar, NoTreeError, load_language

_STEP_BYTES = 2000  # the worst text that is known takes 0.4 s for its first step
_STEP_S = 0.1  # a step takes a millisecond; 25 in a header of 200,000 characters with errors all over it
_STEPS_S = 2.0  # a class of 100,000 characters takes a tenth of a second, and one of 280,000 0.8 s
_WHOLE_S = 0.5  # 300,000 characters take a tenth of a second
_EDITS_S = 1.0  # all edits of a text
_NEAR_CHARS = 2000
_BLOCK_CHARS = 100  # that are compared at once
_KEPT = 8  # verdicts: a few megabytes


class TooSlowToParseError(NoTreeError):
    """A text is too long for its grammar, or takes it too long."""


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    grammar: Grammar
    text: str
    is_slow: bool


_verdicts: deque[_Verdict] = deque(maxlen=_KEPT)


def parse_whole(text: str, source: bytes, grammar: Grammar) -> Tree:
    """Parse a text, whose UTF-8 is `source`. Raise TooSlowToParseError if that takes too long, or did so before."""
    if len(text) > MAX_PARSED_CHARS:
        raise TooSlowToParseError
    verdict = next((one for one in list(_verdicts) if one.grammar == grammar and _is_near(text, one.text)), None)
    is_slow = _is_slow(source, grammar) if verdict is None else verdict.is_slow
    if not is_slow:
        parser = Parser(load_language(grammar))
        began_s = time.thread_time()
        tree = parser.parse(source)
        is_slow = time.thread_time() - began_s > _WHOLE_S
    if verdict is not None:
        with suppress(ValueError, IndexError):  # another thread has removed it, or changes the list now
            _verdicts.remove(verdict)
    # A slow text is looked at again once it has changed enough. Of another, today's is the one to compare with.
    if verdict is None or not verdict.is_slow:
        verdict = _Verdict(grammar=grammar, text=text, is_slow=is_slow)
    _verdicts.appendleft(verdict)
    if is_slow:
        raise TooSlowToParseError
    return tree


class EditTime:
    """The processor time that is left for the edits of a text."""

    def __init__(self) -> None:
        self._left_s = _EDITS_S

    def parse(self, source: bytes, grammar: Grammar, old: Tree) -> Tree:
        """Parse an edited text. Raise TooSlowToParseError if the time is used up."""
        began_s = time.thread_time()
        tree = Parser(load_language(grammar)).parse(source, old)
        self._left_s -= time.thread_time() - began_s
        if self._left_s < 0:
            raise TooSlowToParseError
        return tree


def point_behind(point: Point, text: bytes) -> Point:
    """Return where a text ends that begins at `point`."""
    lines = text.count(b"\n")
    return Point(point.row + lines, len(text) - text.rfind(b"\n") - 1 if lines else point.column + len(text))


def _is_slow(source: bytes, grammar: Grammar) -> bool:
    """Parse the text up to one place after the other, but not the whole; return whether that takes too long."""
    parser = Parser(load_language(grammar))
    tree, point, left_s = parser.parse(b""), Point(0, 0), _STEPS_S
    for end in range(_STEP_BYTES, len(source), _STEP_BYTES):
        began_s, start = time.thread_time(), end - _STEP_BYTES
        behind = point_behind(point, source[start:end])
        tree.edit(start, start, end, point, point, behind)
        tree, point = parser.parse(source[:end], tree), behind
        step_s = time.thread_time() - began_s
        left_s -= step_s
        if step_s > _STEP_S or left_s < 0:
            return True
    return False


def _is_near(text: str, other: str) -> bool:
    """Return whether two texts are the same, but for one place of at most _NEAR_CHARS and a quarter of them."""
    shorter, longer = sorted((len(text), len(other)))
    start = end = 0
    while start + _BLOCK_CHARS <= shorter and text.startswith(other[start : start + _BLOCK_CHARS], start):
        start += _BLOCK_CHARS
    while start + end + _BLOCK_CHARS <= shorter and (
        text[len(text) - end - _BLOCK_CHARS : len(text) - end]
        == other[len(other) - end - _BLOCK_CHARS : len(other) - end]
    ):
        end += _BLOCK_CHARS
    return longer - start - end <= min(_NEAR_CHARS, longer // 4)

"""A matcher that counts its steps: the work of a backtracking regular expression, measured without a clock.

It walks the tree that Python's own parser makes, and tries what Python's engine tries in the same order: one step for
each character that is compared and for each position at which a search begins. The engine's shortcuts are left out, so
that the count is an upper bound of its order of growth. `pumps` writes the lines that make each repeat of an expression
work hardest.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

Node = tuple[Any, Any]
Next = Callable[[int], bool]
REPEATS: Final = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
_CATEGORIES: Final[dict[Any, Callable[[str], bool]]] = {
    sre.CATEGORY_DIGIT: str.isdecimal,
    sre.CATEGORY_NOT_DIGIT: lambda one: not one.isdecimal(),
    sre.CATEGORY_SPACE: str.isspace,
    sre.CATEGORY_NOT_SPACE: lambda one: not one.isspace(),
    sre.CATEGORY_WORD: lambda one: one.isalnum() or one == "_",
    sre.CATEGORY_NOT_WORD: lambda one: not (one.isalnum() or one == "_"),
}
_MAX_DEPTH: Final = 60_000  # of calls from Python to Python, which take none of C's stack
_SINGLE: Final = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)


@contextmanager
def _deep() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(_MAX_DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class TooManySteps(Exception):
    """The search went past its limit."""


class StepCounter:
    """Counts the steps of searches with one expression."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._tree = _as_lists(_parser.parse(pattern.pattern, pattern.flags))
        self._flags = pattern.flags
        self._fitting: dict[tuple[int, str, int], bool] = {}  # by a node of the tree, by its id, a character and flags
        self._text = ""
        self._groups: dict[int, tuple[int, int]] = {}
        self._limit = 0
        self.steps = 0

    @_deep()
    def count(self, text: str, limit: int = sys.maxsize) -> int:
        """The steps of finding all matches in a text; raises TooManySteps where they are more than the limit."""
        self._text, self.steps, self._limit = text, 0, limit
        start = 0
        while start <= len(text):
            self._groups = {}
            ends: list[int] = []
            self._step()
            if self._match(self._tree, 0, start, self._flags, lambda at, ends=ends: not ends.append(at)):  # type: ignore[misc]
                start = max(start + 1, ends[-1])
            else:
                start += 1
        return self.steps

    @_deep()
    def find(self, text: str) -> tuple[int, int] | None:
        """The first match, as `re.search` gives its span."""
        self._text, self.steps, self._limit = text, 0, sys.maxsize
        for start in range(len(text) + 1):
            self._groups = {}
            ends: list[int] = []
            if self._match(self._tree, 0, start, self._flags, lambda at, ends=ends: not ends.append(at)):  # type: ignore[misc]
                return start, ends[-1]
        return None

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self._limit:
            raise TooManySteps

    def _match(self, nodes: list[Node], index: int, at: int, flags: int, then: Next) -> bool:
        if index == len(nodes):
            return then(at)
        kind, value = nodes[index]

        def rest(position: int) -> bool:
            return self._match(nodes, index + 1, position, flags, then)

        if kind in _SINGLE:
            self._step()
            return at < len(self._text) and self._fits(nodes[index], self._text[at], flags) and rest(at + 1)
        if kind in REPEATS:
            return self._repeat(kind, value, at, flags, rest)
        if kind is sre.BRANCH:
            for one in value[1]:  # noqa: SIM110 - no generator: calls through C use up its stack
                if self._match(one, 0, at, flags, rest):
                    return True
            return False
        if kind is sre.SUBPATTERN:
            group, added, removed, inner = value

            def close(position: int) -> bool:
                before = self._groups.get(group)
                self._groups[group] = (at, position)
                if rest(position):
                    return True
                if before is not None:
                    self._groups[group] = before
                return False

            return self._match(inner, 0, at, (flags | added) & ~removed, rest if group is None else close)
        if kind is sre.ATOMIC_GROUP:
            ends: list[int] = []
            return self._match(value, 0, at, flags, lambda end: not ends.append(end)) and rest(ends[-1])
        if kind in (sre.ASSERT, sre.ASSERT_NOT):
            is_ahead, width, inner = value
            start = at if is_ahead else at - width
            is_there = start >= 0 and self._match(inner, 0, start, flags, lambda end: is_ahead or end == at)
            return is_there == (kind is sre.ASSERT) and rest(at)
        if kind is sre.GROUPREF:
            first, last = self._groups.get(value, (0, -1))
            piece = self._text[first:last]
            self.steps += len(piece)
            return last >= 0 and self._text.startswith(piece, at) and rest(at + len(piece))
        if kind is sre.AT:
            self._step()
            return self._is_at(value, at, flags) and rest(at)
        raise NotImplementedError(kind)

    def _repeat(self, kind: Any, value: Any, at: int, flags: int, rest: Next) -> bool:
        least, most, inner = value
        if len(inner) == 1 and inner[0][0] in _SINGLE:
            return self._repeat_single(kind, least, int(most), inner[0], at, flags, rest)

        def again(count: int, position: int, previous: int) -> bool:
            def more() -> bool:
                is_allowed = count < most and position != previous
                return is_allowed and self._match(
                    inner, 0, position, flags, lambda end: again(count + 1, end, position)
                )

            if count < least:
                return more()
            if kind is sre.MIN_REPEAT:
                return rest(position) or more()
            return more() or rest(position)

        if kind is sre.POSSESSIVE_REPEAT:
            count = 0
            while count < most:
                ends: list[int] = []
                if not self._match(inner, 0, at, flags, lambda end, ends=ends: not ends.append(end)):  # type: ignore[misc]
                    break
                count += 1
                if ends[-1] == at:
                    break
                at = ends[-1]
            return count >= least and rest(at)
        return again(0, at, -1)

    def _repeat_single(self, kind: Any, least: int, most: int, one: Node, at: int, flags: int, rest: Next) -> bool:
        def fits(position: int) -> bool:
            self._step()
            return position < len(self._text) and self._fits(one, self._text[position], flags)

        if kind is sre.MIN_REPEAT:
            count = 0
            while True:
                if count >= least and rest(at + count):
                    return True
                if count == most or not fits(at + count):
                    return False
                count += 1
        count = 0
        while count < most and fits(at + count):
            count += 1
        if kind is sre.POSSESSIVE_REPEAT:
            return count >= least and rest(at + count)
        for length in range(count, least - 1, -1):  # noqa: SIM110 - as above
            if rest(at + length):
                return True
        return False

    def _fits(self, node: Node, character: str, flags: int) -> bool:
        key = (id(node), character, flags)
        known = self._fitting.get(key)
        if known is None:
            known = self._fitting[key] = _takes(node, character, flags)
        return known

    def _is_at(self, where: Any, at: int, flags: int) -> bool:
        text, size = self._text, len(self._text)
        if where is sre.AT_BEGINNING:
            return at == 0 or (bool(flags & sre.SRE_FLAG_MULTILINE) and text[at - 1] == "\n")
        if where is sre.AT_END:
            is_line_end = at < size and text[at] == "\n"
            return at == size or (is_line_end and (bool(flags & sre.SRE_FLAG_MULTILINE) or at == size - 1))
        if where in (sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY):
            is_word = _CATEGORIES[sre.CATEGORY_WORD]
            left, right = at > 0 and is_word(text[at - 1]), at < size and is_word(text[at])
            return (left != right) == (where is sre.AT_BOUNDARY)
        return at == (0 if where is sre.AT_BEGINNING_STRING else size)


def pumps(pattern: re.Pattern[str], rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """(prefix, pump, suffix): each repeat of the expression reached, filled with what it takes, and then spoilt.

    Also each fitting text as a whole, again and again, with and without its end; and each part between two repeats,
    with a character behind it that keeps it from growing together with the next.
    """
    tree = list(_parser.parse(pattern.pattern, pattern.flags))
    for prefix, inner in _repeats(tree, "", rng):
        for pump in dict.fromkeys(one or "a" for one in (_sample(inner, rng), _sample(inner, rng), _break_in(inner))):
            for suffix in ("\x01", "\n"):
                yield prefix, pump, suffix
            yield "", prefix + pump, "\x01"
    for prefix, pump in _parts(tree, "", rng):
        yield prefix, pump, "\x01"
    for _ in range(3):
        whole = _sample(tree, rng)
        for pump in dict.fromkeys((whole, whole[:-1], whole[: len(whole) // 2])):
            if pump:
                yield "", pump, "\x01"
    for pump in (" ", "a", "\t", "'", "-", "=", "\\n", "\n"):
        yield "", pump, "\x01"


def _repeats(nodes: list[Node], prefix: str, rng: random.Random) -> Iterator[tuple[str, list[Node]]]:
    for node in nodes:
        kind, value = node
        if kind in REPEATS:
            yield prefix, list(value[2])
            yield from _repeats(list(value[2]), prefix, rng)
        for inner in _inner(node):
            yield from _repeats(inner, prefix, rng)
        prefix += _sample([node], rng)


def _parts(nodes: list[Node], prefix: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """(prefix, pump): what fits between two repeats, behind a text that reaches it."""
    part: list[Node] = []
    for node in nodes:
        kind, value = node
        if kind not in REPEATS:
            part.append(node)
        elif part:
            reached, filling = _sample(part, rng), list(value[2])
            for end in dict.fromkeys((_break_in(filling), _sample(filling, rng))):
                if reached + end:
                    yield prefix, reached + end
            prefix += reached
            part = []
        if kind in REPEATS:
            yield from _parts(list(value[2]), prefix, rng)
        for inner in _inner(node):
            yield from _parts(inner, prefix + _sample(part[:-1], rng), rng)


def _inner(node: Node) -> list[list[Node]]:
    """The sequences of which a group or a choice consists; none of another node."""
    kind, value = node
    if kind is sre.BRANCH:
        return [list(one) for one in value[1]]
    if kind is sre.SUBPATTERN:
        return [list(value[3])]
    return [list(value)] if kind is sre.ATOMIC_GROUP else []


def _sample(nodes: list[Node], rng: random.Random) -> str:
    """A text that fits, or nearly: assertions and group references are passed over."""
    text = ""
    for kind, value in nodes:
        if kind is sre.LITERAL:
            text += chr(value)
        elif kind is sre.NOT_LITERAL or kind is sre.ANY:
            text += "x"
        elif kind is sre.IN:
            text += _member(value, rng)
        elif kind in REPEATS:
            text += "".join(_sample(list(value[2]), rng) for _ in range(value[0] or rng.randrange(2)))
        elif kind is sre.BRANCH:
            text += _sample(list(rng.choice(value[1])), rng)
        elif kind is sre.SUBPATTERN:
            text += _sample(list(value[3]), rng)
        elif kind is sre.ATOMIC_GROUP:
            text += _sample(list(value), rng)
    return text


def _member(members: list[Node], rng: random.Random) -> str:
    if members[0][0] is sre.NEGATE:
        free = [one for one in "xQ7 -_./:'\"" if not any(_is_member(one, member) for member in members[1:])]
    else:
        free = [one for one in map(chr, range(9, 127)) if any(_is_member(one, member) for member in members)]
    return rng.choice(free or ["é"])


def _break_in(nodes: list[Node]) -> str:
    """A character that a repeat takes and that ends a word, so that the expression may begin again behind it."""
    if len(nodes) != 1 or nodes[0][0] not in _SINGLE:
        return ""
    kind, value = nodes[0]
    if kind is sre.IN:
        is_negated = value[0][0] is sre.NEGATE
        members = value[is_negated:]
    else:
        is_negated = kind is not sre.LITERAL
        members = [] if kind is sre.ANY else [(sre.LITERAL, value)]
    free = (one for one in "-_ ./+=:" if any(_is_member(one, member) for member in members) != is_negated)
    return next(free, "")


def _as_lists(nodes: Any) -> list[Node]:
    """The parser's tree with a list for each sequence. An assertion is (is ahead, width, what it holds)."""
    tree: list[Node] = []
    for kind, value in nodes:
        if kind in REPEATS:
            value = (value[0], value[1], _as_lists(value[2]))
        elif kind is sre.BRANCH:
            value = (None, [_as_lists(one) for one in value[1]])
        elif kind is sre.SUBPATTERN:
            value = (*value[:3], _as_lists(value[3]))
        elif kind is sre.ATOMIC_GROUP:
            value = _as_lists(value)
        elif kind in (sre.ASSERT, sre.ASSERT_NOT):
            value = (value[0] > 0, value[1].getwidth()[0], _as_lists(value[1]))
        tree.append((kind, value))
    return tree


def _takes(node: Node, character: str, flags: int) -> bool:
    """Whether a node that takes one character takes this one."""
    kind, value = node
    cases = {character, character.lower(), character.upper()} if flags & sre.SRE_FLAG_IGNORECASE else {character}
    if kind is sre.ANY:
        return bool(flags & sre.SRE_FLAG_DOTALL) or character != "\n"
    if kind is sre.LITERAL:
        return any(ord(one) == value for one in cases if len(one) == 1)
    if kind is sre.NOT_LITERAL:
        return all(ord(one) != value for one in cases if len(one) == 1)
    is_negated = value[0][0] is sre.NEGATE
    members = value[1:] if is_negated else value
    return any(_is_member(one, member) for one in cases if len(one) == 1 for member in members) != is_negated


def _is_member(character: str, member: Node) -> bool:
    kind, value = member
    if kind is sre.LITERAL:
        return ord(character) == value
    if kind is sre.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    return _CATEGORIES[value](character)

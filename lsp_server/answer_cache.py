"""A session's answers that are known without asking the model, and when each may be given.

Three kinds are kept apart: answers that may be given again at their place, answers from short prompts that were asked
ahead for the first key after a rest, and a short prompt's suggestion that is typed while the whole prompt is read.

Suggestions are found by the text around the cursor. A user who types the beginning of one keeps the rest of it. A user
who deletes that again gets the earlier one. Cache keys are counted in characters, windows in tokens. So a hit has
nearly all of the text that the model was given, not always all of it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from lsp_server.options import WHEN_ASKED, ServerOptions
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.brackets import CLOSING, OPENERS, TERMINATORS, outer_closers
from lsp_server.suggestion.right_side import closer_below, doubled_closers, suffix_duplicate
from lsp_server.suggestion.steps import Rejection

ENTRIES = 250
MAX_TYPED_CHARS = 400  # how far along a suggestion is followed; a block of 8 lines has some 300
_PREFIX_CHARS = 8192  # 1,024 tokens of 8 characters each; code has 3 to 4
_SUFFIX_CHARS = 2048
_NEAR_CHARS = 48  # before the cursor, which are compared first: a key copies and hashes the whole window
_MAX_CLOSERS = 4  # that the editor has put in
_CLOSING_TAG = re.compile(r"</[\w.:-]*+>")

_TERMINATORS = "".join(TERMINATORS)
_CLOSER_BELOW = re.compile(r"\n[ \t]*+(?=[)\]}])")

Hit = Literal["exact", "typed-through"]
Way = Literal["same", "tag", "closers", "overtyped", "enter"]  # see _suffixes
_CacheKey = tuple[str, str, str]
KnownAnswer = tuple[Completion, Hit]


class Epoch(NamedTuple):
    """How often answers were dropped. An answer that was asked for before that is not kept."""

    of_all: int
    of_first: int


class AnswerCache:
    """The answers of one session. `build_of` returns which build of a bundle answers now, None before any does."""

    def __init__(self, build_of: Callable[[Path], str | None]) -> None:
        self._build_of = build_of
        self._all = Suggestions()
        self._first = Suggestions()  # for the first key after a rest alone
        self._typed_along = Suggestions()

    @property
    def epoch(self) -> Epoch:
        """What `keep` and `keep_first` need of the time when the model is asked."""
        return Epoch(self._all.generation, self._first.generation)

    def clear(self) -> None:
        """Drop all of them, as when options change or another model answers."""
        self._all.clear()
        self._first.clear()
        self._typed_along.clear()

    def find(self, request: CompletionRequest, options: ServerOptions) -> KnownAnswer | None:
        """Return the answer to a request, and how it was found. options: those of automatic requests.

        A request by hand also gets the answer to an automatic one, unless the threshold cut or rejected that. An
        automatic request gets the answer to one by hand only while the user types it: the threshold has not judged it.
        """
        found = self._all.find(self._scope_now(request), request)
        if found is not None:
            return found
        is_asked = request.options.threshold == WHEN_ASKED.threshold
        other = with_threshold(request, options if is_asked else WHEN_ASKED)
        found = self._all.find(self._scope_now(other), request)
        if found is None or (found[0].is_unsure if is_asked else found[1] == "exact"):
            return None
        return found

    def take_first(self, request: CompletionRequest) -> KnownAnswer | None:
        """Return the answer of a short prompt if this is the first key after a rest; it is not given a second time."""
        found = None if request.is_invoked else self._first.find(self._scope_now(request), request)
        self._first.clear()
        return found

    def find_typed_along(self, request: CompletionRequest) -> KnownAnswer | None:
        """Return what is left of a short prompt's suggestion that is being typed while the whole prompt is read."""
        found = self._typed_along.find(self._scope_now(request), request)
        return found if found is not None and found[1] == "typed-through" else None

    def keep(self, request: CompletionRequest, completion: Completion, since: Epoch) -> None:
        """Keep an answer, unless it was cancelled or the answers were dropped since the model was asked."""
        if completion.rule != "cancelled" and not (completion.is_from_short_prompt or completion.is_late):
            scope = scope_of(request, completion.build)
            self._all.put(scope, request.text, request.offset, completion, generation=since.of_all)

    def keep_first(self, request: CompletionRequest, completion: Completion, since: Epoch) -> None:
        """Keep an answer for the first key after a rest, in place of an earlier one for the same place."""
        scope = scope_of(request, completion.build)
        self._first.put(scope, request.text, request.offset, completion, generation=since.of_first)

    def begin_typed_along(self, request: CompletionRequest, shown: Completion | None) -> Callable[[], None]:
        """Let a short prompt's suggestion be typed; return what ends that, once the whole prompt is read."""
        self._typed_along = Suggestions()
        if shown is not None:
            self._typed_along.put(scope_of(request, shown.build), request.text, request.offset, shown)
        return self._typed_along.clear

    def _scope_now(self, request: CompletionRequest) -> str:
        assert request.bundle is not None
        return scope_of(request, self._build_of(request.bundle))


class Suggestions:
    """The last ENTRIES completions; the least recently used go first. `scope` is what else an answer depends on."""

    def __init__(self) -> None:
        self._entries: OrderedDict[_CacheKey, Completion] = OrderedDict()
        self.generation = 0  # how often it was cleared

    def put(self, scope: str, text: str, offset: int, completion: Completion, *, generation: int | None = None) -> None:
        """Keep the completion of a place, unless the cache was cleared since `generation`."""
        if generation is not None and generation != self.generation:
            return
        key = _key(scope, text, offset, text[offset : offset + _SUFFIX_CHARS])
        self._entries[key] = completion
        self._entries.move_to_end(key)
        if len(self._entries) > ENTRIES:
            self._entries.popitem(last=False)

    def get(self, scope: str, text: str, offset: int, *, may_repeat_tag: bool = False) -> tuple[Completion, Hit] | None:
        """Return what is left of a suggestion that the user has typed up to here; None if there is none.

        That nothing is worth showing here is returned only if no suggestion is being typed. `may_repeat_tag`: the rest
        of a line may repeat the end of a tag that the editor has put in.
        """
        if not self._entries:
            return None
        nothing: tuple[Completion, Hit] | None = None
        near = {before[-_NEAR_CHARS:] for _, before, _ in self._entries}
        for typed in range(min(MAX_TYPED_CHARS, offset) + 1):
            start = offset - typed
            if text[max(0, start - _NEAR_CHARS) : start] not in near:
                continue
            for way, suffix in _suffixes(text, start, offset):
                key = _key(scope, text, start, suffix)
                found = self._entries.get(key)
                if found is None or not found.text.startswith(text[start:offset]):
                    continue
                left, replaces = found.text[typed:], found.replaces if way == "same" else 0
                if way == "enter":  # the closer has its own line now
                    closers, ended = suffix[: found.replaces].strip(), left.rstrip().rstrip(_TERMINATORS)
                    left = ended.removesuffix(closers) if closers and ended.endswith(closers) else left
                    left = left.rstrip()
                if typed and not left.strip():
                    continue  # typed to its end: what comes next is a new request
                if way == "tag" and not (may_repeat_tag and "\n" not in left):
                    continue
                if way == "overtyped":
                    replaces = found.replaces - len(_typed_over(text[start:offset]))
                    if replaces < 0:
                        continue
                self._entries.move_to_end(key)
                if not found.text:
                    nothing = nothing or (found, "exact")
                    continue
                rest = replace(found, text=left, replaces=replaces)
                return rest, "typed-through" if typed else "exact"
        return nothing

    def find(self, scope: str, request: CompletionRequest) -> tuple[Completion, Hit] | None:
        """As `get`; what is left of a suggestion fits the closers that the editor has put in meanwhile."""
        wanted = request.options.filters
        found = self.get(scope, request.text, request.offset, may_repeat_tag=wanted.suffix_duplicate)
        if found is not None and _changes_nothing(found[0], request):
            return None
        if found is None or found[1] == "exact" or found[0].replaces:
            return found
        rest = found[0]
        of_tags = (suffix_duplicate,) if wanted.suffix_duplicate else ()
        of_brackets = (doubled_closers, closer_below) if wanted.doubled_closers else ()
        for adapt in (*of_tags, *of_brackets):
            change = adapt(rest, request)
            if isinstance(change, Rejection):
                return None
            if change is not None:
                rest = replace(rest, text=change.text, replaces=change.replaces)
        return rest, found[1]

    def clear(self) -> None:
        """Forget everything, as when another model answers."""
        self._entries.clear()
        self.generation += 1


def _changes_nothing(rest: Completion, request: CompletionRequest) -> bool:
    """Return whether what is left of a suggestion is what it would replace, as once all but its closers is typed."""
    return bool(rest.text) and request.text[request.offset : request.offset + rest.replaces] == rest.text


def _key(scope: str, text: str, offset: int, suffix: str) -> _CacheKey:
    return scope, text[max(0, offset - _PREFIX_CHARS) : offset], suffix


def _typed_over(typed: str) -> str:
    """Return the closers of a text whose openers stand before it: the editor had put them in."""
    return "".join(typed[index] for index in outer_closers(typed, ""))


def _suffixes(text: str, start: int, offset: int) -> Iterator[tuple[Way, str]]:
    """Yield what may have stood right of the cursor when it was at `start`, behind how it changed since.

    "same": today's text. "tag": the editor has put in the end of a tag, as soon as its `>` was typed. "closers": it has
    put in closers, each as soon as its opener was typed. "overtyped": closers of the editor were typed over. "enter":
    Enter was pressed in front of a closer, which went to a line of its own.
    """
    yield "same", text[offset : offset + _SUFFIX_CHARS]
    typed = text[start:offset]
    tag = _CLOSING_TAG.match(text, offset) if ">" in typed else None
    if tag is not None:
        yield "tag", text[tag.end() : tag.end() + _SUFFIX_CHARS]
    if typed.startswith("\n") and (below := _CLOSER_BELOW.match(text, offset)):
        yield "enter", text[below.end() : below.end() + _SUFFIX_CHARS]
    if 0 < len(over := _typed_over(typed)) <= _MAX_CLOSERS:
        yield "overtyped", over + text[offset : offset + _SUFFIX_CHARS - len(over)]
    opened = sum(character in OPENERS or character in "\"'`" for character in typed)
    for closed in range(1, min(opened, _MAX_CLOSERS) + 1):
        if text[offset + closed - 1 : offset + closed] not in CLOSING or offset + closed > len(text):
            return
        yield "closers", text[offset + closed : offset + closed + _SUFFIX_CHARS]


def with_threshold(request: CompletionRequest, options: ServerOptions) -> CompletionRequest:
    """Return the request with the threshold of the options."""
    return replace(request, options=replace(request.options, threshold=options.threshold))


def scope_of(request: CompletionRequest, build: str | None) -> str:
    """Return what an answer depends on besides the text: build, file, language, and how much may be shown."""
    options = request.options
    shown = (
        f"{options.threshold.confidence}\0{options.trigger.multi_line}\0{request.may_reindent}"
        f"\0{request.may_place_cursor}"
    )
    return f"{request.bundle}\0{build}\0{request.path}\0{request.language_id}\0{shown}"

"""A session's answers that are known without asking the model, and when each may be given.

Three kinds are kept apart: answers that may be given again at their place, answers from short prompts that were asked
ahead for the first key after a rest, and a short prompt's suggestion that is typed while the whole prompt is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lsp_server.options import WHEN_ASKED, ServerOptions
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion_cache import Hit, SuggestionCache

KnownAnswer = tuple[Completion, Hit]


class Epoch(NamedTuple):
    """How often answers were dropped. An answer that was asked for before that is not kept."""

    of_all: int
    of_first: int


class KnownAnswers:
    """The answers of one session. `build_of` returns which build of a bundle answers now, None before any does."""

    def __init__(self, build_of: Callable[[Path], str | None]) -> None:
        self._build_of = build_of
        self._all = SuggestionCache()
        self._first = SuggestionCache()  # for the first key after a rest alone
        self._typed_along = SuggestionCache()

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
        """Keep an answer, unless it was cancelled or the answers were dropped since the model was asked.

        An answer from a short prompt, or one that ran out of time, is not kept: with more time it could differ. One
        that ran out of tokens would end there again.
        """
        if completion.rule != "cancelled" and not (completion.is_from_short_prompt or completion.is_late):
            scope = scope_of(request, completion.build)
            self._all.put(scope, request.text, request.offset, completion, generation=since.of_all)

    def keep_first(self, request: CompletionRequest, completion: Completion, since: Epoch) -> None:
        """Keep an answer for the first key after a rest, in place of an earlier one for the same place."""
        scope = scope_of(request, completion.build)
        self._first.put(scope, request.text, request.offset, completion, generation=since.of_first)

    def begin_typed_along(self, request: CompletionRequest, shown: Completion | None) -> Callable[[], None]:
        """Let a short prompt's suggestion be typed; return what ends that, once the whole prompt is read."""
        self._typed_along = SuggestionCache()
        if shown is not None:
            self._typed_along.put(scope_of(request, shown.build), request.text, request.offset, shown)
        return self._typed_along.clear

    def _scope_now(self, request: CompletionRequest) -> str:
        assert request.bundle is not None
        return scope_of(request, self._build_of(request.bundle))


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

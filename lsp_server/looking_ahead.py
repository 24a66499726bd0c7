"""What is read and asked before somebody needs it: the text around a resting cursor, and what follows a suggestion."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from contract.errors import SubmodelError
from lsp_server.answer_cache import AnswerCache, Epoch, scope_of, with_threshold
from lsp_server.options import ServerOptions
from lsp_server.request import Completion, CompletionRequest
from lsp_server.service import CompletionService
from lsp_server.suggestion.brackets import OPENERS, open_at_end
from lsp_server.suggestion.indentation import TAB_WIDTH, indent_of, indent_unit, leaves_block
from lsp_server.syntax.grammars import Grammar
from lsp_server.trace import TraceLog

T = TypeVar("T")


_CLOSED_BLOCK = re.compile(r"\}[)\]};,]*+")


RATE = 0.02  # of a core, on average
BURST_S = 6.0  # of a core at once: two places of 2,000 tokens; with RATE 3 % of a core over any ten minutes
PLACE_S = 0.5  # of a core: what a short prompt and the answer at the likeliest first key take


class ReadAheadBudget:
    """Core seconds that may be spent: they grow at RATE up to BURST_S. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._left_s, self._at = BURST_S, now()
        self._unused_s = 0.0  # spent last, unless `use` came after it

    @property
    def left_s(self) -> float:
        """Core seconds that may be spent now; negative if more was spent than there was."""
        now = self._now()
        self._left_s = min(BURST_S, self._left_s + (now - self._at) * RATE)
        self._at = now
        return self._left_s

    @property
    def wait_s(self) -> float:
        """Seconds until there is enough for a short prompt; 0 if there is now."""
        return max(0.0, PLACE_S - self.left_s) / RATE

    def spend(self, core_s: float) -> None:
        """Subtract core seconds that were spent on what may be of no use."""
        self._left_s = self.left_s - core_s
        self._unused_s = core_s

    def use(self) -> None:
        """Give back what was spent last, since it was of use."""
        self._left_s = min(BURST_S, self.left_s + self._unused_s)
        self._unused_s = 0.0


def place_of_first_key(text: str, offset: int, grammar: Grammar | None = None) -> tuple[str, int] | None:
    """Return the text and offset at which the first keystroke after a pause would be answered; None if unknown."""
    if text[text.rfind("\n", 0, offset) + 1 : offset].strip():
        return place_after_accepting(text, offset, "", grammar=grammar)
    return None if _rest_of_line(text, offset).strip() else (text, offset)


def place_after_accepting(
    text: str,
    offset: int,
    suggestion: str,
    replaces: int = 0,
    *,
    is_whole: bool = True,
    grammar: Grammar | None = None,
) -> tuple[str, int] | None:
    """Return the text and the offset in it after a suggestion at `offset` was accepted and Enter was pressed.

    `replaces` characters right of the cursor are removed. None if text is left there, since Enter would move it along;
    between the braces of a block it opens that block.
    The new line is indented as most editors do it. In an editor that does otherwise the answer there is not used: what
    is worth showing depends on the indentation.

    `is_whole`: the suggestion ends its line; else the place is its end, and nobody presses Enter there.
    """
    line = (text[text.rfind("\n", 0, offset) + 1 : offset] + suggestion).rpartition("\n")[2]
    left = _rest_of_line(text, offset + replaces).strip()
    if is_whole and left and not (line.endswith("{") and _CLOSED_BLOCK.fullmatch(left)):
        return None
    accepted, rest = text[:offset] + suggestion, text[offset + replaces :]
    if not is_whole:
        return accepted + rest, len(accepted)
    indent = indent_of(line)
    if left:
        rest = f"\n{indent}{rest}"  # editors put the brace of a block on a line of its own
    if line.rstrip().endswith(tuple(OPENERS)) or (line.rstrip().endswith(":") and not _is_comment(line)):
        indent += indent_unit(text, offset) or ("\t" if grammar is not None and grammar.has_tabs else " " * TAB_WIDTH)
    elif grammar is not None and grammar.is_indented and _ends_block(line):
        indent = indent.removesuffix(indent_unit(accepted, len(accepted)) or " " * TAB_WIDTH)
    accepted += f"\n{indent}"
    return accepted + rest, len(accepted)


def _rest_of_line(text: str, offset: int) -> str:
    end = text.find("\n", offset)
    return text[offset : end if end >= 0 else len(text)]


def _is_comment(line: str) -> bool:
    """Return whether a line that ends in a colon is a comment, as most languages write it."""
    return line.lstrip().startswith(("//", "#", "*"))


def _ends_block(line: str) -> bool:
    """Return whether a line is the last one of its block, and the next one belongs to another statement."""
    return leaves_block(line) and not open_at_end(line) and not line.endswith("\\")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A request that nobody waits for yet, and the task that asks the model."""

    request: CompletionRequest
    unwanted: threading.Event  # set: it is over
    answer: asyncio.Task[Completion | None]


class LookingAhead:
    """One client's looking ahead. `options` returns the client's options as they are now."""

    def __init__(
        self,
        service: CompletionService,
        answers: AnswerCache,
        traces: TraceLog,
        budget: ReadAheadBudget,
        options: Callable[[], ServerOptions],
    ) -> None:
        self._service = service
        self._answers = answers
        self._traces = traces
        self._budget = budget
        self._options = options
        self._asked: _Asked | None = None
        self._background: set[asyncio.Task[Any]] = set()  # held here, since the event loop has only weak references

    def read(self, request: CompletionRequest, first_key: CompletionRequest | None) -> None:
        """Begin to read a prompt within the budget, then ask for the answer to `first_key` if it is given."""
        self._start(self._read(request, self._budget.left_s, first_key))

    async def _read(self, request: CompletionRequest, max_core_s: float, first_key: CompletionRequest | None) -> None:
        since = self._answers.epoch
        if first_key is not None and self._answers.find(first_key, self._options()) is not None:
            first_key = None

        def keep(completion: Completion) -> None:
            assert first_key is not None
            kept = self._keep(first_key, completion, since)
            # The whole prompt's answer takes the place of the short one's, also if it is that nothing is worth showing.
            self._answers.keep_first(first_key, kept, since)

        is_short_enough = max_core_s < BURST_S / 2
        reading = await self._service.read_ahead(request, max_core_s, first_key, keep, is_short_enough)
        self._budget.spend(reading.core_s)

    def read_whole(
        self,
        request: CompletionRequest,
        shown: Completion | None,
        followed: Completion | None,
        unwanted: threading.Event,
    ) -> None:
        """Begin to read the whole prompt of a request that was answered from a short one.

        shown: what may be typed along until it is read. followed: what is asked for a continuation then, unless a newer
        request came than that of `unwanted`.
        """
        end_typed_along = self._answers.begin_typed_along(request, shown)
        self._start(self._read_whole(request, end_typed_along, followed, unwanted))

    async def _read_whole(
        self,
        request: CompletionRequest,
        end_typed_along: Callable[[], None],
        followed: Completion | None,
        unwanted: threading.Event,
    ) -> None:
        try:
            reading = await self._service.read_ahead(request, BURST_S)
        finally:
            end_typed_along()  # from now on the model answers from the whole prompt
        if followed is not None and not reading.was_ended and self._service.is_newest(unwanted):
            self.prefetch(request, followed)

    def prefetch(self, request: CompletionRequest, shown: Completion) -> None:
        """Ask for what follows a suggestion, unless its answer is cached. A request for the model ends that."""
        after = self._request_after(request, shown)
        if after is not None and self._answers.find(after, self._options()) is None:
            unwanted = self._service.supersede()
            answer = self._start(self._complete(after, unwanted, self._answers.epoch))
            self._asked = _Asked(request=after, unwanted=unwanted, answer=answer)

    def is_asked_behind(self, request: CompletionRequest, shown: Completion) -> bool:
        """Return whether the model is at work on what follows a suggestion."""
        after = self._request_after(request, shown)
        return after is not None and self._is_asked(after)

    async def answer(self, request: CompletionRequest) -> tuple[Completion | None, threading.Event] | None:
        """Wait for the answer to this request if the model is at work on it; return it with the event of its question.

        It is None if a newer request came. Cancelling the wait stops the model. Returns None if the request has to be
        asked: it was not, or the model failed, or its bundle was freed.
        """
        asked = self._asked
        if asked is None or not self._is_asked(request):
            return None
        completion = await asked.answer
        if completion is None and self._service.is_newest(asked.unwanted):
            return None
        return completion, asked.unwanted

    def _is_asked(self, request: CompletionRequest) -> bool:
        """Return whether the model is at work on the answer to this request, which nobody waits for yet."""
        if self._asked is None or self._asked.unwanted.is_set():
            return False
        asked = self._asked.request
        is_there = (request.text, request.offset) == (asked.text, asked.offset)
        return is_there and scope_of(request, None) == scope_of(asked, None)

    def _request_after(self, request: CompletionRequest, shown: Completion) -> CompletionRequest | None:
        """Return the next request if a suggestion is accepted: an automatic one, since nobody asks for it by hand."""
        place = request if shown.indent is None else request.with_indent(shown.indent)
        text, suggestion, replaces = place.text, shown.text, shown.replaces
        leaves_cursor = request.may_place_cursor and shown.leaves_cursor
        if leaves_cursor:
            closers = suggestion[-shown.added :]
            text = text[: place.offset] + closers + text[place.offset + replaces :]
            suggestion, replaces = suggestion[: -shown.added], 0
        after = place_after_accepting(
            text,
            place.offset,
            suggestion,
            replaces,
            is_whole=shown.is_line_whole and not leaves_cursor,
            grammar=request.grammar,
        )
        if after is None:
            return None
        return replace(with_threshold(request, self._options()), text=after[0], offset=after[1])

    async def _complete(self, request: CompletionRequest, unwanted: threading.Event, since: Epoch) -> Completion | None:
        try:
            # Without loading: the bundle may be freed by now, or no longer served.
            completion = await self._service.complete(request, unwanted, may_load=False)
        except SubmodelError:  # a request there will say so
            return None
        return None if completion is None else self._keep(request, completion, since)

    def _keep(self, request: CompletionRequest, completion: Completion, since: Epoch) -> Completion:
        """Keep an answer that nobody has asked for yet; return it with a number for the trace."""
        completion = replace(completion, trace_id=self._traces.next_id())
        self._answers.keep(request, completion, since)
        return completion

    def _start(self, ahead: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine that nobody waits for, and return its task."""
        task = asyncio.get_running_loop().create_task(ahead)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

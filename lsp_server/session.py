"""One client's session: it decides when the model is asked, caches the answers, and traces the reasons.

A document is a text here; the session knows nothing of the protocol. All methods are called from the event loop's
thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from contract.errors import SubmodelError
from lsp_server.acceptance import AcceptanceTracker
from lsp_server.allowance import BURST_S, Allowance
from lsp_server.battery import PowerMeter
from lsp_server.debounce import Debounce
from lsp_server.known_answers import Epoch, KnownAnswer, KnownAnswers, scope_of, with_threshold
from lsp_server.next_places import place_after_accepting, place_of_first_key
from lsp_server.options import WHEN_ASKED, ServerOptions
from lsp_server.policy import Policy, choose_policy, choose_threads, options_on
from lsp_server.request import Completion, CompletionRequest
from lsp_server.service import CompletionService
from lsp_server.suggestion.steps import Step
from lsp_server.trace import Outcome, Trace, TraceLog
from lsp_server.triggers import find_refusal, refuse

SAVING_WAIT = 2.0  # on battery the debounce is so many times as long
SNOOZE_MINUTES = 5.0
MAX_SNOOZE_MINUTES = 7 * 24 * 60.0

_TOO_SHORT = refuse("too-short", "the suggestion is one character, which is as soon typed")

T = TypeVar("T")
Fit = Callable[[CompletionRequest, Completion], Completion]


@dataclass(frozen=True, kw_only=True)
class _Ahead:
    """A request that nobody waits for yet, and the task that asks the model."""

    request: CompletionRequest
    unwanted: threading.Event  # set: it is over
    answer: asyncio.Task[Completion | None]


class Session:
    """One client's completions. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        service: CompletionService,
        options: ServerOptions,
        *,
        now: Callable[[], float] = time.monotonic,
        meter: PowerMeter | None = None,
    ) -> None:
        self.options = options
        self.service = service
        self.tracker = AcceptanceTracker()
        self.traces = TraceLog()
        self.debounce = Debounce(now)
        self.meter = meter or PowerMeter(now)
        self.answers = KnownAnswers(service.build_of)
        self.allowance = Allowance(now)
        self.fit: Fit = lambda request, completion: completion  # what of a suggestion the client can show
        self.is_paused = False
        self.snoozed_until: datetime | None = None
        self._now = now
        self._awaited = 0  # requests whose answers the client waits for
        self._newest: CompletionRequest | None = None  # also if it was refused or answered from the cache
        self._ahead: _Ahead | None = None
        self._background: set[asyncio.Task[Any]] = set()  # held here, since the event loop has only weak references

    @property
    def snooze_end(self) -> datetime | None:
        """When the snooze ends, by the clock here; None if there is none or it has ended."""
        until = self.snoozed_until
        return until.astimezone() if until is not None and datetime.now(UTC) < until else None

    @property
    def is_snoozed(self) -> bool:
        """Whether a snooze has not ended yet."""
        return self.snooze_end is not None

    def set_options(self, options: ServerOptions) -> None:
        """Take a client's options; if they are others, drop the answers that were cached with the old ones."""
        if options != self.options:
            self.options = options
            self.answers.clear()

    def pause(self) -> None:
        """Answer nothing until `resume`."""
        self.is_paused = True
        self.service.supersede()

    def snooze(self, minutes: float = SNOOZE_MINUTES) -> float:
        """Answer only requests by hand for `minutes`, MAX_SNOOZE_MINUTES at most; return how many minutes."""
        minutes = min(minutes, MAX_SNOOZE_MINUTES)
        self.snoozed_until = datetime.now(UTC) + timedelta(minutes=minutes)
        self.service.supersede()
        return minutes

    def resume(self) -> None:
        """End a pause or a snooze."""
        self.is_paused, self.snoozed_until = False, None

    def policy(self) -> tuple[Policy, str]:
        """Return how much of the machine may be used, with a sentence about it."""
        return choose_policy(self.meter.power, self.options.care)

    def threads(self) -> int | None:
        """Return the cores for the model now; None: the engine's own default."""
        return choose_threads(self.meter.power, self.options)

    async def suggest(self, request: CompletionRequest) -> Completion | None:
        """Return what to show, None if there is nothing. A trace records the reason in any case."""
        self.tracker.statistics.requests += 1
        self._newest = request
        trace = self.traces.begin(request, self._now())
        if self._awaited:  # else what is read or asked ahead may go on
            self.service.supersede()
        refusal = self._find_refusal(request)
        if refusal is not None:
            return self._refused(trace, refusal)
        self._awaited += 1
        try:
            return await self._suggest(request, trace)
        except asyncio.CancelledError:
            self._end(trace, Outcome.CANCELLED, "The client cancelled the request.")
            raise
        except SubmodelError as error:  # the model's
            self._count_nothing("failed")
            self._end(trace, Outcome.FAILED, str(error), rule="failed")
            return None
        finally:
            self._awaited -= 1

    async def recall(self, request: CompletionRequest, first: Completion | None) -> Completion | None:
        """Return another candidate than `first` for a request by hand; None if text at hand has none that differs."""
        if not request.is_invoked or (first is not None and first.is_multi_line):
            return None
        if request is not self._newest or self._find_refusal(request) is not None:  # overtaken, or refused
            return None
        found = await self.service.recall(replace(request, options=self.options))
        if found is not None:
            found = self.fit(request, found)
        first_text = "" if first is None else first.text
        is_other = found is not None and found.text.strip() and found.text.rstrip() != first_text.rstrip()
        return found if is_other else None

    def read_ahead(self, request: CompletionRequest) -> bool:
        """Begin to read the text around a resting cursor, before a request needs it; return whether that was begun.

        If nothing would be completed there because of text right of the cursor, the end of the line is read instead.
        Otherwise the likeliest first key is answered, too. `Allowance` limits the time of what no request makes use of:
        below half of it a short prompt is read alone, since a whole one takes as much as five of these.
        A request that the model is asked for ends a reading.
        """
        if not self._may_read_ahead(request):
            return False
        refusal = self._find_refusal(request)
        is_answered = refusal is None and self.options.care.prefetch
        first_key = place_of_first_key(request.text, request.offset, request.grammar) if is_answered else None
        if refusal is not None and refusal.name in ("mid-word", "before-text"):
            end = request.text.find("\n", request.offset)
            offset = len(request.text) if end < 0 else end
            request = replace(request, offset=offset, client=replace(request.client, offset=offset))
            refusal = self._find_refusal(request)
        if refusal is not None:
            return False
        request = replace(request, options=self.options, threads=self.threads())
        ahead = None if first_key is None else replace(request, text=first_key[0], offset=first_key[1])
        self._start(self._read(request, self.allowance.left_s, ahead))
        return True

    def _may_read_ahead(self, request: CompletionRequest) -> bool:
        return (
            self.options.care.read_ahead
            and request.bundle is not None
            and self.allowance.wait_s == 0
            and self.policy()[0] is Policy.FULL
            and self.service.can_read_ahead(request.bundle, self.threads())
        )

    async def _read(self, request: CompletionRequest, max_core_s: float, first_key: CompletionRequest | None) -> None:
        since = self.answers.epoch
        if first_key is not None and self.answers.find(first_key, self.options) is not None:
            first_key = None

        def keep(completion: Completion) -> None:
            assert first_key is not None
            kept = self._keep_unasked(first_key, completion, since)
            # The whole prompt's answer takes the place of the short one's, also if it is that nothing is worth showing.
            self.answers.keep_first(first_key, kept, since)

        is_short_enough = max_core_s < BURST_S / 2
        reading = await self.service.read_ahead(request, max_core_s, first_key, keep, is_short_enough)
        self.allowance.spend(reading.core_s)

    async def _read_whole(
        self,
        request: CompletionRequest,
        end_typed_along: Callable[[], None],
        shown: Completion | None,
        unwanted: threading.Event,
    ) -> None:
        """Read the whole prompt of a request that was answered from a short one, then ask for what follows `shown`."""
        try:
            reading = await self.service.read_ahead(request, BURST_S)
        finally:
            end_typed_along()  # from now on the model answers from the whole prompt
        if shown is not None and not reading.was_ended and self.service.is_newest(unwanted):
            self._prefetch(request, shown)

    async def _suggest(self, request: CompletionRequest, trace: Trace) -> Completion | None:
        policy, reason = self.policy()
        if policy is Policy.OFF and not request.is_invoked:
            return self._refused(trace, refuse("machine", reason))
        if request.bundle is None:
            return self._refused(trace, refuse("no-bundle", "no bundle was found for this file"))
        request = replace(request, options=self._options_for(request, policy), threads=self.threads())
        self.allowance.use()
        found = self.answers.find(request, self.options)
        first_answer = self.answers.take_first(request)
        found, completion = found or first_answer, None
        is_by_hand = request.is_invoked  # `recall` follows, and would wait for what is asked ahead
        if found is not None and not is_by_hand and self._is_asked_ahead(self._request_after(request, found[0])):
            return self._show_known(request, trace, found)
        typed_along = None if found or is_by_hand else self.answers.find_typed_along(request)
        if typed_along is not None:
            return self._show_known(request, trace, typed_along)  # a question would end the reading
        since = self.answers.epoch
        asked = None if found or is_by_hand else await self._answer_asked_ahead(request)
        unwanted = self.service.supersede() if asked is None else asked[1]
        if found is not None:
            completion = found[0] if found[0].is_from_short_prompt else None
            shown = self._show_known(request, trace, found)
        else:
            trace.cache = "miss"
            if asked is not None:
                completion = asked[0]
            else:
                factor = SAVING_WAIT if policy is Policy.SAVING else 1.0
                wait_s = self.debounce.wait_s(request.client.uri, request.options.trigger, factor=factor)
                if not is_by_hand and not await self._wait(trace, unwanted, wait_s):
                    return None
                completion = await self.service.complete(request, unwanted)
            shown = self._judge(request, trace, completion, since)
        # If a newer request waits for the model, looking ahead would end that one.
        if policy is Policy.FULL and self.service.is_newest(unwanted):
            is_typed = completion is not None and _is_too_short(request, completion)
            followed = (completion if is_typed else shown) if request.options.care.prefetch else None
            if completion is not None and completion.is_from_short_prompt:
                end_typed_along = self.answers.begin_typed_along(request, shown)
                self._start(self._read_whole(request, end_typed_along, followed, unwanted))
            elif followed is not None:
                self._prefetch(request, followed)
        return shown

    def _options_for(self, request: CompletionRequest, policy: Policy) -> ServerOptions:
        """Return the client's options: on battery one line at a time, by hand no threshold and no short prompt."""
        options = options_on(policy, self.options)
        if request.is_invoked:
            trigger = replace(options.trigger, cold_ms=WHEN_ASKED.trigger.cold_ms)
            options = replace(options, threshold=WHEN_ASKED.threshold, trigger=trigger)
        return options

    def _prefetch(self, request: CompletionRequest, shown: Completion) -> None:
        """Ask for what follows a suggestion, unless its answer is cached. A request for the model ends that.

        That is the line after it, or the rest of its own line.
        """
        ahead = self._request_after(request, shown)
        if ahead is not None and self.answers.find(ahead, self.options) is None:
            unwanted = self.service.supersede()
            answer = self._start(self._complete_unasked(ahead, unwanted, self.answers.epoch))
            self._ahead = _Ahead(request=ahead, unwanted=unwanted, answer=answer)

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
        return replace(with_threshold(request, self.options), text=after[0], offset=after[1])

    def _is_asked_ahead(self, request: CompletionRequest | None) -> bool:
        """Return whether the model is at work on the answer to this request, which nobody waits for yet."""
        if request is None or self._ahead is None or self._ahead.unwanted.is_set():
            return False
        ahead = self._ahead.request
        is_there = (request.text, request.offset) == (ahead.text, ahead.offset)
        return is_there and scope_of(request, None) == scope_of(ahead, None)

    async def _answer_asked_ahead(self, request: CompletionRequest) -> tuple[Completion | None, threading.Event] | None:
        """Wait for the answer to this request if the model is at work on it; return it with the event of its question.

        It is None if a newer request came. Cancelling the wait stops the model. Returns None if the request has to be
        asked: it was not, or the model failed, or its bundle was freed.
        """
        ahead = self._ahead
        if ahead is None or not self._is_asked_ahead(request):
            return None
        completion = await ahead.answer
        if completion is None and self.service.is_newest(ahead.unwanted):
            return None
        return completion, ahead.unwanted

    async def _complete_unasked(
        self, request: CompletionRequest, unwanted: threading.Event, since: Epoch
    ) -> Completion | None:
        try:
            # Without loading: the bundle may be freed by now, or no longer served.
            completion = await self.service.complete(request, unwanted, may_load=False)
        except SubmodelError:  # a request there will say so
            return None
        return None if completion is None else self._keep_unasked(request, completion, since)

    def _start(self, ahead: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine that nobody waits for, and return its task."""
        task = asyncio.get_running_loop().create_task(ahead)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _wait(self, trace: Trace, unwanted: threading.Event, wait_s: float) -> bool:
        """Wait for the debounce; return False if a newer request came meanwhile."""
        if wait_s > 0:
            # The event is one of threads, since the worker asks it too, so that it is polled here.
            until = self._now() + wait_s
            while (left := until - self._now()) > 0 and not unwanted.is_set():
                await asyncio.sleep(min(left, 0.01))
            trace.debounce_ms = (self._now() - trace.started_s) * 1000
        if unwanted.is_set():
            self._end(trace, Outcome.SUPERSEDED, "A newer request came during the wait after the keystroke.")
            return False
        return True

    def may_ask(self, *, is_invoked: bool = False) -> bool:
        """Return whether suggestions are on: not switched off, paused or snoozed, nor held back by a low battery."""
        is_held = self.policy()[0] is Policy.OFF and not is_invoked
        return not is_held and self._find_switch(is_invoked) is None

    def _find_switch(self, is_invoked: bool) -> Step | None:
        if not self.options.enabled:
            return refuse("disabled", "submodel is switched off (option enabled)")
        if self.is_paused:
            return refuse("paused", "submodel is paused")
        if (end := self.snooze_end) is not None and not is_invoked:
            return refuse("snoozed", f"submodel is snoozed until {end:%H:%M}")
        return None

    def _find_refusal(self, request: CompletionRequest) -> Step | None:
        switched_off = self._find_switch(request.is_invoked)
        if switched_off is not None:
            return switched_off
        if request.refusal is not None:
            return refuse("document", request.refusal)
        if request.is_invoked:
            return None
        is_after_accepted = self.tracker.is_at_accepted_end(request.client.uri, request.client.offset)
        return find_refusal(request, self.options.trigger, is_after_accepted=is_after_accepted)

    def _show_known(self, request: CompletionRequest, trace: Trace, found: KnownAnswer) -> Completion | None:
        known, trace.cache = found
        assert request.bundle is not None
        trace.build = self.service.build_of(request.bundle)
        if known.text:
            if trace.cache == "exact" and _is_too_short(request, known):
                return self._refused(trace, _TOO_SHORT)
            trace.confidence = known.confidence
            return self._shown(request, trace, known, f"It is in the cache ({trace.cache}).")
        return self._refused(
            trace, refuse(known.rule or "empty", "an earlier request here found nothing worth showing")
        )

    def _judge(
        self, request: CompletionRequest, trace: Trace, completion: Completion | None, since: Epoch
    ) -> Completion | None:
        """Return what is shown of the model's answer, and cache the answer."""
        if completion is not None:
            trace.note_answer(completion, request)
        if completion is None or completion.rule == "cancelled":
            self._end(trace, Outcome.SUPERSEDED, "A newer request came.")
            return None
        self.tracker.statistics.latencies_ms.append((self._now() - trace.started_s) * 1000 - trace.debounce_ms)
        completion = replace(completion, trace_id=trace.id)
        self.answers.keep(request, completion, since)
        if _is_too_short(request, completion):
            return self._refused(trace, _TOO_SHORT)
        if completion.text:
            return self._shown(request, trace, completion, "The model suggested it.")
        step = trace.steps[-1] if trace.steps and trace.steps[-1].action == "rejected" else None
        detail = step.detail if step else "the model suggests nothing here"
        self._count_nothing(completion.rule or "empty")
        self._end(trace, Outcome.NOTHING, _sentence(detail), rule=completion.rule)
        return None

    def _keep_unasked(self, request: CompletionRequest, completion: Completion, since: Epoch) -> Completion:
        """Keep an answer that nobody has asked for yet; return it with a number for the trace."""
        completion = replace(completion, trace_id=self.traces.next_id())
        self.answers.keep(request, completion, since)
        return completion

    def _shown(
        self, request: CompletionRequest, trace: Trace, completion: Completion, reason: str
    ) -> Completion | None:
        completion = self.fit(request, completion)
        if not completion.text.strip():
            return self._refused(trace, refuse("client", "the client's list can't show what is suggested here"))
        self._end(trace, Outcome.SHOWN, reason, text=completion.text)
        client, text = request.client, request.client.with_line_ends(completion.text)
        is_whole = completion.is_line_whole
        moved = 0 if completion.indent is None else len(request.indent) - len(completion.indent)
        self.tracker.sent(
            completion.trace_id, client.uri, client.offset, text, trace.language, is_whole=is_whole, moved=moved
        )
        return completion

    def _refused(self, trace: Trace, step: Step) -> Completion | None:
        self._count_nothing(step.name)
        trace.steps = (step,)
        self._end(trace, Outcome.NOTHING, _sentence(step.detail), rule=step.name)
        return None

    def _count_nothing(self, rule: str) -> None:
        self.tracker.statistics.nothing[rule] += 1

    def _end(
        self, trace: Trace, outcome: Outcome, reason: str, *, rule: str | None = None, text: str | None = None
    ) -> None:
        trace.outcome, trace.reason, trace.rule, trace.text = outcome, reason, rule, text
        trace.total_ms = (self._now() - trace.started_s) * 1000
        self.traces.add(trace)


def _is_too_short(request: CompletionRequest, completion: Completion) -> bool:
    """Return whether a suggestion that nobody asked for is one character: to type it is quicker than to read it."""
    return not request.is_invoked and len("".join(completion.text.split())) == 1


def _sentence(detail: str) -> str:
    return detail[:1].upper() + detail[1:] + ("" if detail.endswith(".") else ".")

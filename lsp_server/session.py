"""One client's session: it decides when the model is asked, caches the answers, and traces the reasons."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from contract.errors import SubmodelError
from lsp_server.acceptance import AcceptanceTracker
from lsp_server.answer_cache import AnswerCache, Epoch, KnownAnswer
from lsp_server.battery import Policy, PowerMeter, choose_policy, choose_threads, options_on
from lsp_server.debounce import Debounce
from lsp_server.looking_ahead import LookingAhead, ReadAheadBudget, place_of_first_key
from lsp_server.options import WHEN_ASKED, ServerOptions
from lsp_server.request import Completion, CompletionRequest
from lsp_server.service import CompletionService
from lsp_server.suggestion.steps import Step
from lsp_server.trace import Outcome, Trace, TraceLog
from lsp_server.triggers import find_refusal, refuse

SAVING_WAIT = 2.0  # on battery the debounce is so many times as long

_TOO_SHORT = refuse("too-short", "the suggestion is one character, which is as soon typed")

Fit = Callable[[CompletionRequest, Completion], Completion]


SNOOZE_MINUTES = 5.0
MAX_SNOOZE_MINUTES = 7 * 24 * 60.0


class Pauses:
    """The pause and the snooze of a client. Snoozed, it still asks by hand."""

    def __init__(self) -> None:
        self.is_paused = False
        self.snoozed_until: datetime | None = None

    @property
    def snooze_end(self) -> datetime | None:
        """When the snooze ends, by the clock here; None if there is none or it has ended."""
        until = self.snoozed_until
        return until.astimezone() if until is not None and datetime.now(UTC) < until else None

    def pause(self) -> None:
        """Answer nothing until `resume`."""
        self.is_paused = True

    def snooze(self, minutes: float = SNOOZE_MINUTES) -> float:
        """Answer only requests by hand for `minutes`, MAX_SNOOZE_MINUTES at most; return how many minutes."""
        minutes = min(minutes, MAX_SNOOZE_MINUTES)
        self.snoozed_until = datetime.now(UTC) + timedelta(minutes=minutes)
        return minutes

    def resume(self) -> None:
        """End a pause or a snooze."""
        self.is_paused, self.snoozed_until = False, None

    def find_refusal(self, *, is_enabled: bool, is_invoked: bool) -> Step | None:
        """Return why nothing is suggested; None if suggestions are on. is_enabled: the client's option."""
        if not is_enabled:
            return refuse("disabled", "submodel is switched off (option enabled)")
        if self.is_paused:
            return refuse("paused", "submodel is paused")
        if (end := self.snooze_end) is not None and not is_invoked:
            return refuse("snoozed", f"submodel is snoozed until {end:%H:%M}")
        return None


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
        self.answers = AnswerCache(service.build_of)
        self.read_ahead_budget = ReadAheadBudget(now)
        self.fit: Fit = lambda request, completion: completion  # what of a suggestion the client can show
        self.pauses = Pauses()
        self._now = now
        self._awaited = 0  # requests whose answers the client waits for
        self._newest: CompletionRequest | None = None  # also if it was refused or answered from the cache
        self._ahead = LookingAhead(service, self.answers, self.traces, self.read_ahead_budget, lambda: self.options)

    def set_options(self, options: ServerOptions) -> None:
        """Take a client's options; if they are others, drop the answers that were cached with the old ones."""
        if options != self.options:
            self.options = options
            self.answers.clear()

    def pause(self) -> None:
        """As `Pauses.pause`; nothing goes on that was asked."""
        self.pauses.pause()
        self.service.supersede()

    def snooze(self, minutes: float = SNOOZE_MINUTES) -> float:
        """As `Pauses.snooze`; nothing goes on that was asked."""
        self.service.supersede()
        return self.pauses.snooze(minutes)

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
        """Begin to read the text around a resting cursor, before a request needs it; return whether that was begun."""
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
        self._ahead.read(request, ahead)
        return True

    def _may_read_ahead(self, request: CompletionRequest) -> bool:
        return (
            self.options.care.read_ahead
            and request.bundle is not None
            and self.read_ahead_budget.wait_s == 0
            and self.policy()[0] is Policy.FULL
            and self.service.can_read_ahead(request.bundle, self.threads())
        )

    async def _suggest(self, request: CompletionRequest, trace: Trace) -> Completion | None:
        policy, reason = self.policy()
        if policy is Policy.OFF and not request.is_invoked:
            return self._refused(trace, refuse("machine", reason))
        if request.bundle is None:
            return self._refused(trace, refuse("no-bundle", "no bundle was found for this file"))
        request = replace(request, options=self._options_for(request, policy), threads=self.threads())
        self.read_ahead_budget.use()
        found = self.answers.find(request, self.options)
        first_answer = self.answers.take_first(request)
        found, completion = found or first_answer, None
        is_by_hand = request.is_invoked  # `recall` follows, and would wait for what is asked ahead
        if found is not None and not is_by_hand and self._ahead.is_asked_behind(request, found[0]):
            return self._show_known(request, trace, found)
        typed_along = None if found or is_by_hand else self.answers.find_typed_along(request)
        if typed_along is not None:
            return self._show_known(request, trace, typed_along)  # a question would end the reading
        since = self.answers.epoch
        asked = None if found or is_by_hand else await self._ahead.answer(request)
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
                self._ahead.read_whole(request, shown, followed, unwanted)
            elif followed is not None:
                self._ahead.prefetch(request, followed)
        return shown

    def _options_for(self, request: CompletionRequest, policy: Policy) -> ServerOptions:
        """Return the client's options: on battery one line at a time, by hand no threshold and no short prompt."""
        options = options_on(policy, self.options)
        if request.is_invoked:
            trigger = replace(options.trigger, cold_ms=WHEN_ASKED.trigger.cold_ms)
            options = replace(options, threshold=WHEN_ASKED.threshold, trigger=trigger)
        return options

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
        return self.pauses.find_refusal(is_enabled=self.options.enabled, is_invoked=is_invoked)

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
        self.tracker.sent(completion.trace_id, client.uri, client.offset, text, is_whole=is_whole, moved=moved)
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

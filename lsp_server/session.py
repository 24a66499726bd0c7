"""One client's session: when the model is asked, what is remembered of its answers, and why each came out so.

It knows documents as text and nothing of the protocol. All methods are called from the event loop's thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from contract.errors import SubmodelError
from lsp_server.acceptance import AcceptanceTracker
from lsp_server.debounce import Debounce
from lsp_server.decoding.cores import default_threads
from lsp_server.options import WHEN_ASKED, ServerOptions
from lsp_server.power import Allowance, Policy, PowerMeter, choose_policy
from lsp_server.request import Completion, CompletionRequest
from lsp_server.service import CompletionService
from lsp_server.suggestion.steps import Step
from lsp_server.suggestion_cache import Hit, SuggestionCache
from lsp_server.trace import Outcome, Trace, TraceLog
from lsp_server.triggers import find_refusal, refuse

SAVING_WAIT = 2.0  # times as long on battery
SNOOZE_MINUTES = 5.0
MAX_SNOOZE_MINUTES = 7 * 24 * 60.0


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
        self.tracker = AcceptanceTracker(now)
        self.traces = TraceLog()
        self.debounce = Debounce(now)
        self.meter = meter or PowerMeter(now)
        self.cache = SuggestionCache()
        self.allowance = Allowance(now)
        self.is_paused = False
        self.snoozed_until: datetime | None = None
        self._now = now
        self._ahead: set[asyncio.Task[None]] = set()  # held, since the event loop alone would let them go

    @property
    def is_snoozed(self) -> bool:
        """Whether a snooze lasts."""
        return self.snoozed_until is not None and datetime.now(UTC) < self.snoozed_until

    def set_options(self, options: ServerOptions) -> None:
        """Take other options; what was found with those before counts no more."""
        self.options = options
        self.cache.clear()

    def pause(self) -> None:
        """Nothing until `resume`."""
        self.is_paused = True
        self.service.supersede()

    def snooze(self, minutes: float = SNOOZE_MINUTES) -> float:
        """Answer only what is asked by hand for so long, MAX_SNOOZE_MINUTES at most; return how many minutes."""
        minutes = min(minutes, MAX_SNOOZE_MINUTES)
        self.snoozed_until = datetime.now(UTC) + timedelta(minutes=minutes)
        self.service.supersede()
        return minutes

    def resume(self) -> None:
        """End a pause or a snooze."""
        self.is_paused, self.snoozed_until = False, None

    def policy(self) -> tuple[Policy, str]:
        """What the machine can give, with a sentence about it."""
        return choose_policy(self.meter.power, self.options.care)

    def threads(self) -> int | None:
        """Cores for the model, on battery half of them, by hand too; None: the engine's own default."""
        if not self.meter.power.on_battery or self.options.care.on_battery == "full":
            return self.options.threads
        return max(1, (self.options.threads or default_threads()) // 2)

    async def suggest(self, request: CompletionRequest) -> Completion | None:
        """Return what to show, None if there is nothing; the reason is among the traces in any case."""
        self.tracker.statistics.requests += 1
        trace = self.traces.begin(request, self._now())
        generation, unwanted = self.cache.generation, self.service.supersede()
        try:
            return await self._suggest(request, trace, generation, unwanted)
        except asyncio.CancelledError:
            self._end(trace, Outcome.CANCELLED, "The client took the request back.")
            raise
        except SubmodelError as error:  # the model's
            self._count_nothing("failed")
            self._end(trace, Outcome.FAILED, str(error), rule="failed")
            return None

    def read_ahead(self, request: CompletionRequest) -> bool:
        """Read the text around a cursor that rests, so that the next key need not wait; whether that was begun.

        If a key would ask for nothing since text stands right of the cursor, the end of the line is read. It costs
        `Allowance` at most on average as long as no key makes use of it. Any request ends it.
        """
        if not self._may_read_ahead(request):
            return False
        refusal = self._find_refusal(request)
        if refusal is not None and refusal.name in ("mid-word", "before-text"):
            end = request.text.find("\n", request.offset)
            offset = len(request.text) if end < 0 else end
            request = replace(request, offset=offset, client=replace(request.client, offset=offset))
            refusal = self._find_refusal(request)
        if refusal is not None:
            return False
        request = replace(request, options=self.options, threads=self.threads())
        self._start(self._read(request, self.allowance.left_s))
        return True

    def _may_read_ahead(self, request: CompletionRequest) -> bool:
        return (
            self.options.care.read_ahead
            and request.bundle is not None
            and self.allowance.left_s > 0
            and self.policy()[0] is Policy.FULL
            and self.service.can_read_ahead(request.bundle, self.threads())
        )

    async def _read(self, request: CompletionRequest, max_core_s: float) -> None:
        reading = await self.service.read_ahead(request, max_core_s)
        self.allowance.spend(reading.core_s)

    async def _read_whole(self, request: CompletionRequest) -> None:
        await self.service.read_ahead(request, self.allowance.burst_s)

    async def _suggest(
        self, request: CompletionRequest, trace: Trace, generation: int, unwanted: threading.Event
    ) -> Completion | None:
        refusal = self._find_refusal(request)
        if refusal is not None:
            return self._refused(trace, refusal)
        policy, reason = self.policy()
        if policy is Policy.OFF and not request.is_invoked:
            return self._refused(trace, refuse("machine", reason))
        bundle = request.bundle
        if bundle is None:
            return self._refused(trace, refuse("no-bundle", "no bundle was found for this file"))
        request = replace(request, options=self._options_for(request, policy), threads=self.threads())
        self.allowance.use()
        found, completion = self._find_known(request), None
        if found is not None:
            known, trace.cache = found
            trace.build = self.service.build_of(bundle)
            shown = self._show_known(request, trace, known)
        else:
            trace.cache = "miss"
            if not request.is_invoked:
                factor = SAVING_WAIT if policy is Policy.SAVING else 1.0
                wait_s = self.debounce.wait_s(request.options.trigger, factor=factor)
                if not await self._wait(trace, unwanted, wait_s):
                    return None
            completion = await self.service.complete(request, unwanted)
            shown = self._judge(request, trace, completion, generation)
        # If a newer request waits for the model, looking ahead would end that one.
        if policy is Policy.FULL and self.service.is_newest(unwanted):
            if completion is not None and completion.is_near:
                self._start(self._read_whole(request))
            elif shown is not None and request.options.care.prefetch:
                self._look_ahead(request, shown)
        return shown

    def _options_for(self, request: CompletionRequest, policy: Policy) -> ServerOptions:
        """The client's options, but one line at a time on battery; by hand, all the time and no threshold."""
        options = self.options
        if policy is Policy.SAVING:
            options = replace(options, trigger=replace(options.trigger, multi_line=False))
        if request.is_invoked:
            trigger = replace(options.trigger, cold_ms=WHEN_ASKED.trigger.cold_ms)
            options = replace(options, threshold=WHEN_ASKED.threshold, trigger=trigger)
        return options

    def _find_known(self, request: CompletionRequest) -> tuple[Completion, Hit] | None:
        """What was found there before.

        By hand also what came by itself, unless the threshold held it back; by itself what was asked for by hand
        only as long as it is typed along, for the threshold has not judged it.
        """
        assert request.bundle is not None
        build = self.service.build_of(request.bundle)
        found = self.cache.get(_scope(request, build), request.text, request.offset)
        if found is not None:
            return found
        is_asked = request.options.threshold == WHEN_ASKED.threshold
        other = _scope(_with_threshold(request, self.options if is_asked else WHEN_ASKED), build)
        found = self.cache.get(other, request.text, request.offset)
        if found is None or (found[0].rule == "threshold" if is_asked else found[1] == "exact"):
            return None
        return found

    def _look_ahead(self, request: CompletionRequest, shown: Completion) -> None:
        """Ask for the line after a suggestion, unless its answer is there already. The next request ends it."""
        after = place_after_accepting(request.text, request.offset, shown.text, shown.replaces)
        if after is None:
            return
        # Nobody has asked for that one.
        ahead = replace(_with_threshold(request, self.options), text=after[0], offset=after[1])
        if self._find_known(ahead) is None:
            self._start(self._fetch(ahead, self.service.supersede(), self.cache.generation))

    async def _fetch(self, request: CompletionRequest, unwanted: threading.Event, generation: int) -> None:
        try:
            completion = await self.service.complete(request, unwanted)
        except SubmodelError:  # a request there will say so
            return
        if completion is not None:
            self._keep(request, replace(completion, trace_id=self.traces.next_id()), generation)

    def _start(self, ahead: Coroutine[Any, Any, None]) -> None:
        """Do what nobody waits for."""
        task = asyncio.get_running_loop().create_task(ahead)
        self._ahead.add(task)
        task.add_done_callback(self._ahead.discard)

    async def _wait(self, trace: Trace, unwanted: threading.Event, wait_s: float) -> bool:
        """Let a key pass that comes at once; False if a newer request came meanwhile."""
        if wait_s > 0:
            # No event loop's event: the thread's one is what the worker asks as well. A newer request ends the sleep.
            until = self._now() + wait_s
            while (left := until - self._now()) > 0 and not unwanted.is_set():
                await asyncio.sleep(min(left, 0.01))
            trace.debounce_ms = (self._now() - trace.started_s) * 1000
        if unwanted.is_set():
            self._end(trace, Outcome.SUPERSEDED, "A newer request came before the wait was over.")
            return False
        return True

    def _find_refusal(self, request: CompletionRequest) -> Step | None:
        if not self.options.enabled:
            return refuse("disabled", "submodel is switched off (option enabled)")
        if self.is_paused:
            return refuse("paused", "submodel is paused")
        if self.is_snoozed and not request.is_invoked:
            return refuse("snoozed", f"submodel is snoozed until {self.snoozed_until:%H:%M} UTC")
        if request.refusal is not None:
            return refuse("document", request.refusal)
        if request.is_invoked:
            return None
        is_after_accepted = self.tracker.is_at_accepted_end(request.client.uri, request.client.offset)
        return find_refusal(request, self.options.trigger, is_after_accepted=is_after_accepted)

    def _show_known(self, request: CompletionRequest, trace: Trace, known: Completion) -> Completion | None:
        if known.text:
            trace.confidence = known.confidence
            return self._shown(request, trace, known, f"It is in the cache ({trace.cache}).")
        return self._refused(trace, refuse(known.rule or "empty", "nothing was found worth showing here before"))

    def _judge(
        self, request: CompletionRequest, trace: Trace, completion: Completion | None, generation: int
    ) -> Completion | None:
        """Return what is shown of the model's answer, which the cache holds from now on."""
        if completion is not None:
            trace.note_answer(completion)
        if completion is None or completion.rule == "cancelled":
            self._end(trace, Outcome.SUPERSEDED, "A newer request came.")
            return None
        self.tracker.statistics.latencies_ms.append((self._now() - trace.started_s) * 1000 - trace.debounce_ms)
        completion = replace(completion, trace_id=trace.id)
        self._keep(request, completion, generation)
        if completion.text:
            return self._shown(request, trace, completion, "The model said so.")
        step = completion.steps[-1] if completion.steps and completion.steps[-1].action == "rejected" else None
        detail = step.detail if step else "the model has nothing to say here"
        self._count_nothing(completion.rule or "empty")
        self._end(trace, Outcome.NOTHING, _sentence(detail), rule=completion.rule)
        return None

    def _keep(self, request: CompletionRequest, completion: Completion, generation: int) -> None:
        """Cache an answer.

        Not if it was stopped midway, or the cache was cleared after the request of `generation` came. With more time,
        a near or an unfinished one would be another.
        """
        is_late = completion.is_near or any(step.name == "budget" for step in completion.steps)
        if completion.rule != "cancelled" and not is_late:
            scope = _scope(request, completion.build)
            self.cache.put(scope, request.text, request.offset, completion, generation=generation)

    def _shown(self, request: CompletionRequest, trace: Trace, completion: Completion, reason: str) -> Completion:
        self._end(trace, Outcome.SHOWN, reason, text=completion.text)
        client, text = request.client, request.client.with_line_ends(completion.text)
        self.tracker.sent(completion.trace_id, client.uri, client.offset, text, trace.language)
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


def _with_threshold(request: CompletionRequest, options: ServerOptions) -> CompletionRequest:
    return replace(request, options=replace(request.options, threshold=options.threshold))


def _scope(request: CompletionRequest, build: str | None) -> str:
    """What an answer depends on besides the text: which build gives it, and how much may be shown."""
    options = request.options
    return f"{request.bundle}\0{build}\0{request.path}\0{options.threshold.precision}\0{options.trigger.multi_line}"


def _sentence(detail: str) -> str:
    return detail[:1].upper() + detail[1:] + ("" if detail.endswith(".") else ".")


def place_after_accepting(text: str, offset: int, suggestion: str, replaces: int = 0) -> tuple[str, int] | None:
    """The document and the offset in it after a suggestion at `offset` was accepted, and Enter hit.

    `replaces` characters right of the cursor go. None where text is left right of it, which Enter would take along.
    """
    rest = text[offset + replaces :]
    if rest.partition("\n")[0].strip():
        return None
    accepted = f"{text[:offset]}{suggestion}\n"
    return accepted + rest, len(accepted)

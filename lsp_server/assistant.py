"""From a place in a document to a suggestion: whether to ask, the cache, the wait, the model, and why it came out so.

It knows documents as text and nothing of the protocol. All methods are called from the event loop's thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from contract.prompt import ContextPiece
from lsp_server.acceptance import AcceptanceTracker
from lsp_server.allowance import Allowance
from lsp_server.debounce import Debounce
from lsp_server.decisions import Decision, DecisionLog, Outcome, Times, Tokens
from lsp_server.decoding.cores import default_threads
from lsp_server.options import WHEN_ASKED, ServerOptions
from lsp_server.power import Policy, PowerMeter, choose_policy
from lsp_server.prefetch import place_after_accepting
from lsp_server.service import Answer, CompletionService, Question
from lsp_server.suggestion.situation import Situation
from lsp_server.suggestion.steps import Step
from lsp_server.suggestion_cache import Hit, Suggestion, SuggestionCache
from lsp_server.syntax.grammars import find_grammar, language_name
from lsp_server.triggers import find_refusal

if TYPE_CHECKING:
    from lsp_server.completion import Completion

SAVING_WAIT = 2.0  # times as long on battery
SNOOZE_MINUTES = 5.0
MAX_SNOOZE_MINUTES = 7 * 24 * 60.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cursor in a document as it was when a completion was asked for; lines end in line feeds."""

    uri: str
    path: str  # relative to its folder, with slashes
    text: str
    offset: int
    line: int
    character: int  # as the client counts
    language_id: str | None
    is_invoked: bool  # asked for by hand
    bundle: Path | None
    root: Path | None = None  # of its repository
    source_offset: int | None = None  # in the client's text, where its lines end otherwise; None: `offset`
    line_end: str = "\n"  # the client's
    refusal: str | None = None  # why nothing can be asked here at all

    @property
    def own_offset(self) -> int:
        """The cursor in the client's own text."""
        return self.offset if self.source_offset is None else self.source_offset


ContextFinder = Callable[[Place, ServerOptions], Sequence[ContextPiece]]


@dataclass
class _Draft:
    """A decision that is being made."""

    place: Place
    id: int
    started: float
    debounce_ms: float = 0.0
    cache: str = "none"
    context: tuple[ContextPiece, ...] = ()
    fields: dict[str, object] = field(default_factory=dict)
    generation: int = 0  # of the cache, when the request came


class Assistant:
    """One client's completions. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        service: CompletionService,
        options: ServerOptions,
        *,
        now: Callable[[], float] = time.monotonic,
        meter: PowerMeter | None = None,
        find_context: ContextFinder | None = None,
    ) -> None:
        self.options = options
        self.service = service
        self.tracker = AcceptanceTracker(now)
        self.decisions = DecisionLog()
        self.debounce = Debounce(now)
        self.meter = meter or PowerMeter(now)
        self.cache = SuggestionCache()
        self.is_paused = False
        self.snoozed_until: datetime | None = None
        self._now = now
        self._find_context = find_context
        self._prefetch: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self.allowance = Allowance(now)

    @property
    def is_snoozed(self) -> bool:
        """Whether a snooze lasts."""
        return self.snoozed_until is not None and datetime.now(UTC) < self.snoozed_until

    def pause(self) -> None:
        """Nothing until `resume`."""
        self.is_paused = True
        self.service.supersede()

    def snooze(self, minutes: float = SNOOZE_MINUTES) -> float:
        """Only what is asked for by hand for so long, MAX_SNOOZE_MINUTES at most; return how many minutes that are."""
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

    async def suggest(self, place: Place) -> Suggestion | None:
        """What to show there, None where nothing; the reason is among the decisions in any case."""
        self.tracker.statistics.requests += 1
        draft = _Draft(place=place, id=self.decisions.next_id(), started=self._now(), generation=self.cache.generation)
        unwanted = self.service.supersede()
        try:
            return await self._suggest(draft, unwanted)
        except asyncio.CancelledError:
            self._record(draft, Outcome.CANCELLED, "The client took the request back.")
            raise

    def read_ahead(self, place: Place) -> bool:
        """Read the text around a cursor that rests there, so that the next key need not wait; whether that was begun.

        Where a key would ask for nothing since text stands right of the cursor, the end of the line is read. It costs
        `Allowance` at most on average as long as no key makes use of it. Any request ends it.
        """
        if not self._may_read_ahead(place):
            return False
        end = place.text.find("\n", place.offset)
        refusal = self._refusal(place)
        if refusal is not None and refusal.name in ("mid-word", "before-text"):
            place = replace(place, offset=len(place.text) if end < 0 else end, source_offset=None)
            refusal = self._refusal(place)
        if refusal is not None:
            return False
        question = self._question(place, self.options)
        if self._find_context is not None:
            question = replace(question, context=tuple(self._find_context(place, self.options)))
        self._reading = asyncio.get_running_loop().create_task(self._read(question, self.allowance.left_s))
        return True

    def _may_read_ahead(self, place: Place) -> bool:
        return (
            self.options.care.read_ahead
            and place.bundle is not None
            and self.allowance.left_s > 0
            and self.policy()[0] is Policy.FULL
            and self.service.can_read_ahead(place.bundle, self.threads())
        )

    async def _read(self, question: Question, max_core_s: float) -> None:
        reading = await self.service.read_ahead(question, max_core_s)
        self.allowance.spend(reading.core_s)

    async def _read_whole(self, question: Question) -> None:
        await self.service.read_ahead(question, self.allowance.burst_s)

    async def _suggest(self, draft: _Draft, unwanted: threading.Event) -> Suggestion | None:
        place = draft.place
        refusal = self._refusal(place)
        if refusal is not None:
            return self._nothing(draft, refusal)
        policy, reason = self.policy()
        if policy is Policy.OFF and not place.is_invoked:
            return self._nothing(draft, Step(name="machine", kind="trigger", action="rejected", detail=reason))
        if place.bundle is None:
            return self._nothing(draft, _refuse("no-bundle", "no bundle was found for this file"))
        options = self.options
        if policy is Policy.SAVING:
            options = replace(options, trigger=replace(options.trigger, multi_line=False))
        if place.is_invoked:
            trigger = replace(options.trigger, cold_ms=WHEN_ASKED.trigger.cold_ms)
            options = replace(options, gate=WHEN_ASKED.gate, trigger=trigger)
        question = self._question(place, options)
        self.allowance.use()
        cached, is_near = self._cached(question), False
        draft.cache = "miss"
        if cached is not None:
            found, draft.cache = cached
            draft.fields["build"] = self.service.build_of(question.bundle)
            suggestion = self._from_cache(draft, found)
        else:
            if not place.is_invoked:
                wait_s = self.debounce.wait_s(options.trigger, factor=SAVING_WAIT if policy is Policy.SAVING else 1.0)
                if not await self._wait(draft, unwanted, wait_s):
                    return None
            if self._find_context is not None:
                draft.context = tuple(self._find_context(place, options))
            question = replace(question, context=draft.context)
            answer = await self.service.complete(question, unwanted)
            suggestion = self._judge(draft, answer, question)
            is_near = answer is not None and answer.completion is not None and answer.completion.is_near
        # Where a newer request waits for the model, looking ahead would end that one.
        is_free = self.service.is_newest(unwanted)
        if is_near and is_free and policy is Policy.FULL:
            self._reading = asyncio.get_running_loop().create_task(self._read_whole(question))
        elif suggestion is not None and policy is Policy.FULL and options.care.prefetch and is_free:
            self._look_ahead(question, suggestion)
        return suggestion

    def _question(self, place: Place, options: ServerOptions) -> Question:
        assert place.bundle is not None
        return Question(
            text=place.text,
            offset=place.offset,
            bundle=place.bundle,
            path=place.path,
            language_id=place.language_id,
            threads=self.threads(),
            repository=place.root.name if place.root is not None else "",
            options=options,
        )

    def _cached(self, question: Question) -> tuple[Suggestion, Hit] | None:
        """What was found there before.

        By hand also what came by itself, unless the gate held it back; by itself what was asked for by hand only as
        long as it is typed along, for the gate has not judged it.
        """
        build = self.service.build_of(question.bundle)
        found = self.cache.get(_scope(question, build), question.text, question.offset)
        if found is not None:
            return found
        is_asked = question.options.gate == WHEN_ASKED.gate
        other = _scope(_with_gate(question, self.options if is_asked else WHEN_ASKED), build)
        found = self.cache.get(other, question.text, question.offset)
        if found is None or (found[0].rule == "gate" if is_asked else found[1] == "exact"):
            return None
        return found

    def _look_ahead(self, question: Question, suggestion: Suggestion) -> None:
        """Ask for the line after a suggestion, unless its answer is there already. The next request ends it."""
        after = place_after_accepting(question.text, question.offset, suggestion.text, suggestion.replaces)
        if after is None:
            return
        # Nobody has asked for that one.
        ahead = replace(_with_gate(question, self.options), text=after[0], offset=after[1])
        if self._cached(ahead) is None:
            unwanted = self.service.supersede()
            self._prefetch = asyncio.get_running_loop().create_task(self._fetch(ahead, unwanted, self.cache.generation))

    async def _fetch(self, question: Question, unwanted: threading.Event, generation: int) -> None:
        answer = await self.service.complete(question, unwanted)
        if answer is not None and answer.completion is not None:
            self._keep(question, answer.completion, answer.build, self.decisions.next_id(), generation)

    async def _wait(self, draft: _Draft, unwanted: threading.Event, wait_s: float) -> bool:
        """Let a key pass that comes at once; False where a newer request came meanwhile."""
        if wait_s > 0:
            # No event loop's event: the thread's one is what the worker asks as well. A newer request ends the sleep.
            until = self._now() + wait_s
            while (left := until - self._now()) > 0 and not unwanted.is_set():
                await asyncio.sleep(min(left, 0.01))
            draft.debounce_ms = (self._now() - draft.started) * 1000
        if unwanted.is_set():
            self._record(draft, Outcome.SUPERSEDED, "A newer request came before the wait was over.")
            return False
        return True

    def _refusal(self, place: Place) -> Step | None:
        options = self.options
        if not options.enabled:
            return _refuse("disabled", "submodel is switched off (option enabled)")
        if self.is_paused:
            return _refuse("paused", "submodel is paused")
        if self.is_snoozed and not place.is_invoked:
            return _refuse("snoozed", f"submodel is snoozed until {self.snoozed_until:%H:%M} UTC")
        if place.refusal is not None:
            return _refuse("document", place.refusal)
        if place.is_invoked:
            return None
        situation = Situation(text=place.text, offset=place.offset, grammar=find_grammar(place.path, place.language_id))
        is_after_accepted = self.tracker.is_at_accepted_end(place.uri, place.own_offset)
        return find_refusal(situation, options.trigger, is_after_accepted=is_after_accepted)

    def _from_cache(self, draft: _Draft, suggestion: Suggestion) -> Suggestion | None:
        if suggestion.text:
            draft.fields["confidence"] = suggestion.confidence
            return self._shown(draft, suggestion, f"It is in the cache ({draft.cache}).")
        rule = suggestion.rule or "empty"
        return self._nothing(draft, _refuse(rule, "nothing was found worth showing here before"))

    def _judge(self, draft: _Draft, answer: Answer | None, question: Question) -> Suggestion | None:
        if answer is None:
            self._record(draft, Outcome.SUPERSEDED, "A newer request came.")
            return None
        completion = answer.completion
        if completion is None:
            self._count_nothing("failed")
            self._record(draft, Outcome.FAILED, answer.error or "The model gave no answer.", rule="failed")
            return None
        draft.fields |= {
            "raw": completion.raw,
            "steps": completion.steps,
            "confidence": completion.confidence,
            "threshold": completion.threshold,
            "is_multi_line": completion.is_multi_line,
            "tokens": Tokens(
                prompt=completion.prompt_tokens, computed=completion.computed_tokens, generated=completion.tokens
            ),
        }
        times = Times(debounce=draft.debounce_ms, queue=answer.queue_ms, model=completion.milliseconds)
        draft.fields["times"] = times
        draft.fields["build"] = answer.build
        if completion.rule == "cancelled":
            self._record(draft, Outcome.SUPERSEDED, "A newer request came.")
            return None
        self.tracker.statistics.latencies_ms.append((self._now() - draft.started) * 1000 - draft.debounce_ms)
        suggestion = self._keep(question, completion, answer.build, draft.id, draft.generation)
        if completion.text:
            return self._shown(draft, suggestion, "The model said so.")
        step = completion.steps[-1] if completion.steps and completion.steps[-1].action == "rejected" else None
        detail = step.detail if step else "the model has nothing to say here"
        self._count_nothing(completion.rule or "empty")
        self._record(draft, Outcome.NOTHING, _sentence(detail), rule=completion.rule)
        return None

    def _keep(
        self, question: Question, completion: Completion, build: str | None, decision_id: int, generation: int
    ) -> Suggestion:
        """What was found there, which the cache holds from now on.

        It does not if the answer was stopped midway, or the cache was cleared after the request of `generation` came.
        """
        suggestion = Suggestion(
            text=completion.text,
            replaces=completion.replaces,
            decision_id=decision_id,
            rule=completion.rule,
            confidence=completion.confidence,
        )
        # With more time it would be another.
        is_late = completion.is_near or any(step.name == "budget" for step in completion.steps)
        if completion.rule != "cancelled" and not is_late:
            scope = _scope(question, build)
            self.cache.put(scope, question.text, question.offset, suggestion, generation=generation)
        return suggestion

    def _shown(self, draft: _Draft, suggestion: Suggestion, reason: str) -> Suggestion:
        place = draft.place
        self._record(draft, Outcome.SHOWN, reason, text=suggestion.text)
        language = language_name(place.path, place.language_id)
        text = suggestion.text.replace("\n", place.line_end)
        counts = self.options.statistics
        self.tracker.sent(suggestion.decision_id, place.uri, place.own_offset, text, language, counts=counts)
        return suggestion

    def _nothing(self, draft: _Draft, step: Step) -> Suggestion | None:
        self._count_nothing(step.name)
        draft.fields["steps"] = (step,)
        self._record(draft, Outcome.NOTHING, _sentence(step.detail), rule=step.name)
        return None

    def _count_nothing(self, rule: str) -> None:
        self.tracker.statistics.nothing[rule] += 1

    def _record(
        self, draft: _Draft, outcome: Outcome, reason: str, *, rule: str | None = None, text: str | None = None
    ) -> None:
        place, fields = draft.place, dict(draft.fields)
        total = (self._now() - draft.started) * 1000
        times = fields.pop("times", Times(debounce=draft.debounce_ms))
        assert isinstance(times, Times)
        self.decisions.add(
            Decision(
                id=draft.id,
                uri=place.uri,
                line=place.line,
                character=place.character,
                language=language_name(place.path, place.language_id),
                is_invoked=place.is_invoked,
                outcome=outcome,
                reason=reason,
                rule=rule,
                text=text,
                cache=draft.cache,
                context=tuple((piece.source, piece.path, len(piece.text)) for piece in draft.context),
                times=replace(times, total=total),
                bundle=str(place.bundle) if place.bundle else None,
                **fields,  # type: ignore[arg-type]
            )
        )


def _with_gate(question: Question, options: ServerOptions) -> Question:
    return replace(question, options=replace(question.options, gate=options.gate))


def _scope(question: Question, build: str | None) -> str:
    """What an answer depends on besides the text: which build gives it, and how much may be shown."""
    options = question.options
    return f"{question.bundle}\0{build}\0{question.path}\0{options.gate.precision}\0{options.trigger.multi_line}"


def _refuse(name: str, detail: str) -> Step:
    return Step(name=name, kind="trigger", action="rejected", detail=detail)


def _sentence(detail: str) -> str:
    return detail[:1].upper() + detail[1:] + ("" if detail.endswith(".") else ".")

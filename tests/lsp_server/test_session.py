from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsp_server.battery import Policy, Power, PowerMeter
from lsp_server.bundle_finder import BundleFinder
from lsp_server.loaded_bundles import BundleState, BundleStatus
from lsp_server.looking_ahead import BURST_S, PLACE_S, RATE
from lsp_server.open_documents import Edit
from lsp_server.options import CareOptions, ServerOptions, TriggerOptions
from lsp_server.request import ClientCursor, Completion, CompletionRequest
from lsp_server.serve_errors import ServeError
from lsp_server.service import Reading
from lsp_server.session import Session
from lsp_server.status import describe_status
from lsp_server.suggestion.steps import Step
from lsp_server.trace import Trace
from tests.lsp_server.marked_documents import request_at

URI = "file:///w/a.py"
HALF = Completion(  # its tokens ran out
    text="foo(",
    raw="foo(ba",
    steps=(Step(name="budget", kind="stop", action="cut", detail="tokens ran out", before="foo(ba", after="foo("),),
)
OPTIONS = ServerOptions(trigger=TriggerOptions(debounce_min_ms=0, debounce_max_ms=0), care=CareOptions(prefetch=False))
AHEAD = ServerOptions(trigger=TriggerOptions(debounce_min_ms=0, debounce_max_ms=0))


class FakeService:
    """Answers each request with what it was given, and keeps the requests."""

    def __init__(self, completion: Completion | None) -> None:
        self.completion = completion
        self.requests: list[CompletionRequest] = []
        self.wait: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)
        self.first_is_too_late = False  # it is answered though a newer request has come, as in a model's last step
        self.read: list[tuple[CompletionRequest, float]] = []
        self.can_read = True
        self.core_s = 4.0  # that a reading takes
        self.ends_readings = False  # by another one
        self.short_enough: list[bool] = []  # of each reading, whether a short prompt was
        self.answered: list[CompletionRequest] = []  # while it read
        self.bundles: dict[Path, BundleStatus] = {}
        self._newest = threading.Event()

    def build_of(self, bundle: Path) -> str | None:
        return None

    def can_read_ahead(self, bundle_folder: Path, threads: int | None) -> bool:
        return self.can_read

    def is_answering(self) -> bool:
        return False

    async def read_ahead(
        self,
        request: CompletionRequest,
        max_core_s: float,
        first_key: CompletionRequest | None = None,
        on_answer: Callable[[Completion], None] = lambda completion: None,
        is_short_enough: bool = False,
    ) -> Reading:
        self.read.append((request, max_core_s))
        self.short_enough.append(is_short_enough)
        if first_key is not None and self.completion is not None:
            self.answered.append(first_key)
            on_answer(self.completion)
        return Reading(core_s=self.core_s, was_ended=self.ends_readings)

    def supersede(self) -> threading.Event:
        self._newest.set()
        self._newest = threading.Event()
        return self._newest

    def is_newest(self, unwanted: threading.Event) -> bool:
        return self._newest is unwanted

    async def recall(self, request: CompletionRequest) -> Completion | None:
        return Completion(text="at hand")

    async def complete(
        self, request: CompletionRequest, unwanted: threading.Event, *, may_load: bool = True
    ) -> Completion | None:
        if unwanted.is_set():
            return None
        is_too_late = self.first_is_too_late and not self.requests
        self.requests.append(request)
        await self.wait()
        if unwanted.is_set() and not is_too_late:
            return None
        if self.completion is None:
            raise ServeError("It is broken.")
        return replace(self.completion, queue_ms=1.0)


def make(
    completion: Completion | None = Completion(text="foo(bar)", raw="foo(bar)\n", confidence=0.5),  # noqa: B008
    options: ServerOptions = OPTIONS,
    power: Power = Power(),  # noqa: B008
) -> tuple[Session, FakeService]:
    service = FakeService(completion)
    meter = PowerMeter(lambda: 0.0, lambda: power)
    return Session(service, options, meter=meter), service  # type: ignore[arg-type]


def at(
    document: str, *, is_invoked: bool = False, bundle: Path | None = Path("/w/.submodel/bundle")
) -> CompletionRequest:
    offset = document.index("‸")
    return request_at(
        document,
        path="a.py",
        language_id="python",
        is_invoked=is_invoked,
        bundle=bundle,
        client=ClientCursor(uri=URI, character=offset, offset=offset),
    )


def ask(session: Session, *requests: CompletionRequest) -> list[str | None]:
    async def test() -> list[str | None]:
        answers = [await session.suggest(request) for request in requests]
        return [answer.text if answer else None for answer in answers]

    return asyncio.run(test())


def last(session: Session) -> Trace:
    return session.traces.newest()[0]


@pytest.mark.parametrize("newer", ["x = y‸\n", "x = f‸oo\n"], ids=["another", "a refused one"])
def test_a_request_by_hand_that_was_overtaken_recalls_nothing(newer: str) -> None:
    session, service = make()
    request = at("x = ‸\n", is_invoked=True)

    async def test() -> list[Completion | None]:
        gate = asyncio.Event()
        service.wait = gate.wait  # type: ignore[assignment]
        older = asyncio.create_task(session.suggest(request))
        await asyncio.sleep(0)
        newest = asyncio.create_task(session.suggest(at(newer)))
        await asyncio.sleep(0)
        gate.set()
        overtaken = await session.recall(request, await older)
        await newest
        await session.suggest(request)
        return [overtaken, await session.recall(request, None)]

    assert asyncio.run(test()) == [None, Completion(text="at hand")]


@pytest.mark.parametrize(
    ("first", "is_invoked", "expected"),
    [
        (None, True, "at hand"),
        (Completion(text="x"), True, "at hand"),
        (Completion(text="at hand\n"), True, None),
        (Completion(text="x\ny", is_multi_line=True), True, None),
        (Completion(text="x"), False, None),
    ],
    ids=["nothing", "another", "the same", "several lines", "automatic"],
)
def test_a_second_answer_comes_by_hand_for_one_line_if_it_differs(
    first: Completion | None, is_invoked: bool, expected: str | None
) -> None:
    session, _ = make(first)
    request = at("x = ‸\n", is_invoked=is_invoked)

    async def test() -> Completion | None:
        await session.suggest(request)
        return await session.recall(request, first)

    answer = asyncio.run(test())
    assert (None if answer is None else answer.text) == expected


def test_what_the_model_says_is_shown_and_explained() -> None:
    session, _ = make()
    assert ask(session, at("x = ‸\n")) == ["foo(bar)"]
    trace = last(session).to_json()
    assert trace["outcome"] == "shown"
    assert trace["trigger"] == "automatic"
    assert trace["language"] == "Python"
    assert (trace["text"], trace["raw"], trace["cache"]) == ("foo(bar)", "foo(bar)\n", "miss")
    assert trace["confidence"] == 0.5
    assert trace["rule"] is None
    assert trace["milliseconds"]["queue"] == 1.0


def test_typing_along_asks_no_model() -> None:
    session, service = make()
    assert ask(session, at("x = ‸\n"), at("x = fo‸\n"), at("x = f‸\n"), at("x = ‸\n")) == [
        "foo(bar)",
        "o(bar)",
        "oo(bar)",
        "foo(bar)",
    ]
    assert len(service.requests) == 1
    assert [trace.cache for trace in session.traces.newest(4)] == [
        "exact",
        "typed-through",
        "typed-through",
        "miss",
    ]
    assert session.tracker.statistics.shown == 1, "it is one suggestion"


@pytest.mark.parametrize(
    ("prepare", "asked", "rule"),
    [
        (lambda session: session.pause(), at("x = ‸\n", is_invoked=True), "paused"),
        (lambda session: session.snooze(5), at("x = ‸\n"), "snoozed"),
        (lambda session: None, at("ab‸cd\n"), "mid-word"),
        (lambda session: None, at("x = ‸\n", bundle=None), "no-bundle"),
    ],
)
def test_why_nothing(prepare: Callable[[Session], None], asked: CompletionRequest, rule: str) -> None:
    session, service = make()
    prepare(session)
    assert ask(session, asked) == [None]
    assert service.requests == []
    assert last(session).rule == rule
    assert last(session).reason.endswith(".")
    assert session.tracker.statistics.nothing == {rule: 1}
    session.pauses.resume()
    assert ask(session, at("x = ‸\n")) == ["foo(bar)"]


def test_asked_by_hand_it_answers_through_a_snooze() -> None:
    session, _ = make()
    session.snooze(5)
    assert ask(session, at("x = ‸\n", is_invoked=True)) == ["foo(bar)"]


def test_what_a_filter_rejected_is_reported_and_not_asked_again() -> None:
    step = Step(name="repetition", kind="stop", action="rejected", detail="a line repeats the one above it")
    session, service = make(Completion(text="", raw="x", steps=(step,), rule="repetition"))
    assert ask(session, at("x = ‸\n"), at("x = ‸\n")) == [None, None]
    assert len(service.requests) == 1
    newer, older = session.traces.newest(2)
    assert (older.rule, older.reason) == ("repetition", "A line repeats the one above it.")
    assert (newer.rule, newer.cache) == ("repetition", "exact")


def test_the_reason_quotes_no_text_that_is_withheld() -> None:
    line = 'KEY = "AKIAQ4J5XW2B7T6M3NPL"'
    detail = f"a line repeats one above it: {line}"
    step = Step(name="repetition", kind="stop", action="rejected", detail=detail, before=line, after="")
    session, _ = make(Completion(text="", raw=line, steps=(step,), rule="repetition"))
    assert ask(session, at("x = 1\n‸\n")) == [None]
    trace = last(session).to_json()
    assert (trace["rule"], trace["raw"]) == ("repetition", "")
    assert "AKIA" not in str(trace)


def test_answer_for_which_time_ran_out_is_asked_again() -> None:
    """The machine may be less busy then. Of an answer that ran out of tokens the model would give the same part."""
    for is_late, asked in ((True, 2), (False, 1)):
        session, service = make(replace(HALF, is_late=is_late))
        assert ask(session, at("x = ‸\n"), at("x = ‸\n")) == ["foo(", "foo("]
        assert len(service.requests) == asked


def test_model_that_fails_is_reported() -> None:
    session, _ = make(None)
    assert ask(session, at("x = ‸\n")) == [None]
    assert (last(session).outcome, last(session).reason) == ("failed", "It is broken.")


def test_newer_request_ends_the_wait_of_the_older() -> None:
    session, service = make(options=replace(OPTIONS, trigger=TriggerOptions(debounce_min_ms=600_000)))

    async def test() -> list[Any]:
        older = asyncio.create_task(session.suggest(at("x = ‸\n")))
        await asyncio.sleep(0.02)
        newer = asyncio.create_task(session.suggest(at("x = y‸\n", is_invoked=True)))
        return [await asyncio.wait_for(older, 60), await asyncio.wait_for(newer, 60)]

    older, newer = asyncio.run(test())
    assert older is None
    assert newer.text == "foo(bar)"
    assert len(service.requests) == 1
    assert {trace.outcome for trace in session.traces.newest(2)} == {"superseded", "shown"}


@pytest.mark.parametrize("stop", [Session.pause, Session.snooze])
def test_a_pause_and_a_snooze_end_a_request_that_waits(stop: Callable[[Session], object]) -> None:
    session, service = make(options=replace(OPTIONS, trigger=TriggerOptions(debounce_min_ms=600_000)))

    async def test() -> Completion | None:
        asked = asyncio.create_task(session.suggest(at("x = ‸\n")))
        await asyncio.sleep(0.02)
        stop(session)
        return await asyncio.wait_for(asked, 10)

    assert asyncio.run(test()) is None
    assert service.requests == []


def test_cancelled_request_is_reported() -> None:
    session, service = make(options=replace(OPTIONS, trigger=TriggerOptions(debounce_min_ms=600_000)))

    async def test() -> None:
        task = asyncio.create_task(session.suggest(at("x = ‸\n")))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(test())
    assert last(session).outcome == "cancelled"
    assert service.requests == []


def test_after_an_accepted_line_nothing_is_asked() -> None:
    session, service = make()
    assert ask(session, at("x = ‸\n")) == ["foo(bar)"]
    session.tracker.edited(URI, "x = foo(bar)\n", [Edit(start=4, removed=0, inserted="foo(bar)")])
    assert ask(session, at("x = foo(bar)‸\n")) == [None]
    assert last(session).rule == "after-accepted-line"
    assert len(service.requests) == 1


def test_a_line_that_begins_further_left_is_seen_to_be_accepted() -> None:
    session, _ = make(Completion(text="else:", indent="    "))
    above = "if x:\n        y()\n"
    assert ask(session, at(f"{above}        ‸\n")) == ["else:"]
    session.tracker.edited(URI, f"{above}    else:\n", [Edit(start=len(above), removed=8, inserted="    else:")])
    assert session.tracker.statistics.accepted == 1


def test_the_rest_of_an_accepted_half_line_is_asked_for() -> None:
    session, service = make(HALF)
    assert ask(session, at("x = ‸\n")) == ["foo("]
    service.completion = Completion(text="bar)")
    session.tracker.edited(URI, "x = foo(\n", [Edit(start=4, removed=0, inserted="foo(")])
    assert ask(session, at("x = foo(‸\n")) == ["bar)"]


def test_battery_saves_cores_and_blocks() -> None:
    session, service = make(
        options=ServerOptions(threads=4, trigger=OPTIONS.trigger), power=Power(on_battery=True, battery_percent=50)
    )
    ask(session, at("x = ‸\n"))
    assert service.requests[0].threads == 2
    assert not service.requests[0].options.trigger.multi_line
    assert session.policy()[0] is Policy.SAVING


@pytest.mark.parametrize(
    ("power", "expected_s"), [(Power(), 0.04), (Power(on_battery=True, battery_percent=50.0), 0.08)]
)
def test_on_battery_the_wait_after_a_keystroke_is_twice_as_long(
    power: Power, expected_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(OPTIONS, trigger=TriggerOptions(debounce_min_ms=40, debounce_max_ms=40))
    session, _ = make(options=options, power=power)
    measure, waits = session.debounce.wait_s, []

    def note_wait(uri: str, options: TriggerOptions, *, factor: float = 1.0) -> float:
        waits.append(measure(uri, options, factor=factor))
        return 0.0

    monkeypatch.setattr(session.debounce, "wait_s", note_wait)
    assert ask(session, at("x = ‸\n")) == ["foo(bar)"]
    assert waits == [pytest.approx(expected_s)]


def test_low_battery_answers_only_what_is_asked_by_hand() -> None:
    session, _ = make(options=ServerOptions(), power=Power(on_battery=True, battery_percent=5))
    assert ask(session, at("x = ‸\n"), at("x = ‸\n", is_invoked=True)) == [None, "foo(bar)"]
    assert session.traces.newest(2)[1].rule == "machine"


@pytest.mark.parametrize("other", [{"path": "b.py"}, {"language_id": "rust"}, {"may_place_cursor": True}])
def test_another_file_or_language_is_another_place(other: dict[str, Any]) -> None:
    session, service = make()
    assert ask(session, at("x = ‸\n"), replace(at("x = ‸\n"), **other)) == ["foo(bar)", "foo(bar)"]
    assert len(service.requests) == 2


def test_line_after_a_suggestion_is_asked_for_while_it_is_read() -> None:
    session, service = make(options=AHEAD)

    async def test() -> list[str | None]:
        first = await session.suggest(at("    x = ‸\ny\n"))
        service.completion = Completion(text="return x", raw="    return x\n")
        await asyncio.sleep(0.01)  # the user reads
        asked = len(service.requests)
        second = await session.suggest(at("    x = foo(bar)\n    ‸\ny\n"))
        assert len(service.requests) == asked, "its answer was there"
        return [answer.text if answer else None for answer in (first, second)]

    assert asyncio.run(test()) == ["foo(bar)", "return x"]
    asked = [request.text[: request.offset] for request in service.requests]
    assert asked[:2] == ["    x = ", "    x = foo(bar)\n    "], "as it is once the editor has indented it"
    assert session.tracker.statistics.shown == 2
    assert session.tracker.statistics.requests == 2, "what nobody asked for is no request"


def test_the_line_after_a_suggestion_is_asked_for_once() -> None:
    session, service = make(options=AHEAD)

    async def test() -> None:
        for is_invoked in (False, True):  # by hand nobody waits for what is asked ahead
            await session.suggest(at("x = ‸\n", is_invoked=is_invoked))
            await asyncio.sleep(0.01)

    asyncio.run(test())
    assert [request.text for request in service.requests] == ["x = \n", "x = foo(bar)\n\n"]


def test_a_key_ends_what_was_asked_ahead() -> None:
    session, service = make(options=AHEAD)

    async def test() -> None:
        await session.suggest(at("x = ‸\n"))
        await session.suggest(at("x = b‸\n"))  # not what was suggested
        assert len(service.requests) == 2, "the line ahead was not even begun"
        await asyncio.sleep(0.01)

    asyncio.run(test())
    assert [request.text for request in service.requests] == ["x = \n", "x = b\n", "x = bfoo(bar)\n\n"]


async def begin_line_ahead(session: Session, service: FakeService) -> asyncio.Event:
    """Show a suggestion, and begin to ask for the line after it; what is returned lets that be answered."""
    let_go = asyncio.Event()
    await session.suggest(at("x = ‸\n"))
    service.wait = let_go.wait  # type: ignore[assignment]
    await asyncio.sleep(0.01)
    return let_go


async def line_ahead(session: Session, service: FakeService, let_go: asyncio.Event) -> str | None:
    """The answer that was asked ahead, once it may come: nothing else was asked."""
    let_go.set()
    await asyncio.sleep(0.01)
    after = await session.suggest(at("x = foo(bar)\n‸\n"))
    assert len(service.requests) == 2, "the answer that was asked ahead"
    return after.text if after else None


def test_typing_along_a_suggestion_lets_the_line_after_it_be_answered() -> None:
    session, service = make(options=AHEAD)

    async def test() -> str | None:
        let_go = await begin_line_ahead(session, service)
        for typed in ("f", "fo"):
            assert await session.suggest(at(f"x = {typed}‸\n"))
        return await line_ahead(session, service, let_go)

    assert asyncio.run(test()) == "foo(bar)"


@pytest.mark.parametrize("then", ["it comes", "a key", "the client cancels", "a pause", "it fails"])
def test_who_asks_for_what_is_asked_ahead_waits_for_its_answer(then: str) -> None:
    """As after Enter, before the answer of the next line is there."""
    session, service = make(options=AHEAD)
    document = "x = foo(bar)\n‸\n"

    async def test() -> str | None:
        let_go = await begin_line_ahead(session, service)
        assert session._ahead._asked is not None
        ahead = session._ahead._asked.answer
        asked = asyncio.create_task(session.suggest(at(document)))
        await asyncio.sleep(0.01)
        assert len(service.requests) == 2, "it is not begun again"
        if then == "a key":
            newer = asyncio.create_task(session.suggest(at(document.replace("‸", "y = ‸"))))
            await asyncio.sleep(0)
            let_go.set()
            assert await asked is None
            assert await newer is not None
        elif then == "the client cancels":
            asked.cancel()
            await asyncio.wait([asked, ahead])
            assert ahead.cancelled(), "which stops the model"
            let_go.set()
            return None
        elif then == "a pause":
            session.pause()
            let_go.set()
        elif then == "it fails":
            service.completion = None
            let_go.set()
        else:
            service.completion = Completion(text="return x", raw="return x\n")
            let_go.set()
        answer = await asked
        assert (then == "it comes") == (answer is not None)
        return answer.text if answer else None

    shown = asyncio.run(test())
    assert shown == ("return x" if then == "it comes" else None)
    outcomes = {trace.text or trace.outcome for trace in session.traces.newest(3)}
    expected = {"it comes": "return x", "the client cancels": "cancelled", "it fails": "failed"}
    assert expected.get(then, "superseded") in outcomes
    if then == "it comes":
        assert ask(session, at(document)) == ["return x"], "it is cached"


def test_what_follows_an_opened_block_is_asked_between_its_braces() -> None:
    session, service = make(Completion(text="(c) => {}", added=1), options=replace(OPTIONS, care=CareOptions()))

    async def test() -> None:
        await session.suggest(replace(at("get(‸)\n"), path="a.ts", may_place_cursor=True))
        await asyncio.gather(*session._ahead._background)

    asyncio.run(test())
    asked = service.requests[1]
    assert (asked.text[: asked.offset], asked.text[asked.offset :]) == ("get((c) => {", "})\n")


def test_a_refused_request_ends_nothing_that_was_asked_ahead() -> None:
    """VS Code asks again where a suggestion was just accepted, and in the middle of a word."""
    session, service = make(options=AHEAD)

    async def test() -> str | None:
        let_go = await begin_line_ahead(session, service)
        assert await session.suggest(at("x = f‸oo(bar)\n")) is None
        return await line_ahead(session, service, let_go)

    assert asyncio.run(test()) == "foo(bar)"


def test_a_refused_request_ends_one_that_a_client_waits_for() -> None:
    session, service = make()

    async def test() -> Completion | None:
        let_go = asyncio.Event()
        service.wait = let_go.wait  # type: ignore[assignment]
        older = asyncio.create_task(session.suggest(at("x = ‸\n")))
        await asyncio.sleep(0.01)
        assert await session.suggest(at("x = f‸oo\n")) is None
        let_go.set()
        return await older

    assert asyncio.run(test()) is None


def test_looking_ahead_does_not_end_a_newer_request() -> None:
    session, service = make(options=AHEAD)
    service.first_is_too_late = True

    async def test() -> list[Any]:
        let_go = asyncio.Event()
        service.wait = let_go.wait  # type: ignore[assignment]
        older = asyncio.create_task(session.suggest(at("x = ‸\n")))
        await asyncio.sleep(0.01)
        newer = asyncio.create_task(session.suggest(at("x = y‸\n")))
        await asyncio.sleep(0)
        let_go.set()
        return [await older, await newer]

    assert [answer.text for answer in asyncio.run(test())] == ["foo(bar)", "foo(bar)"]


@pytest.mark.parametrize("power", [Power(on_battery=True, battery_percent=80.0)])
def test_nothing_is_asked_ahead_on_battery(power: Power) -> None:
    session, service = make(options=AHEAD, power=power)

    async def test() -> None:
        await session.suggest(at("x = ‸\n"))
        await asyncio.sleep(0.01)

    asyncio.run(test())
    assert len(service.requests) == 1


def test_threshold_is_for_what_nobody_asked_for() -> None:
    session, service = make(Completion(text="", rule="threshold", is_unsure=True))
    assert ask(session, at("x = ‸\n")) == [None]
    service.completion = Completion(text="foo", confidence=0.1)
    assert ask(session, at("x = ‸\n"), at("x = ‸\n", is_invoked=True)) == [None, "foo"]
    assert [request.options.threshold.confidence for request in service.requests] == [0.4, 0.0]


def test_what_was_asked_for_by_hand_comes_by_itself_only_while_it_is_typed() -> None:
    session, service = make(Completion(text="foo(bar)", confidence=0.1))
    assert ask(session, at("x = ‸\n", is_invoked=True), at("x = fo‸\n")) == ["foo(bar)", "o(bar)"]
    assert len(service.requests) == 1
    service.completion = Completion(text="", rule="threshold", is_unsure=True)
    assert ask(session, at("x = ‸\n")) == [None]
    assert last(session).rule == "threshold"


def test_what_came_by_itself_is_there_by_hand() -> None:
    session, service = make()
    assert ask(session, at("x = ‸\n"), at("x = ‸\n", is_invoked=True)) == ["foo(bar)"] * 2
    assert len(service.requests) == 1


def test_by_hand_all_of_what_came_cut_is_asked_for() -> None:
    session, service = make(Completion(text="foo(", is_unsure=True))
    assert ask(session, at("x = ‸\n")) == ["foo("]
    service.completion = Completion(text="foo(bar)")
    assert ask(session, at("x = ‸\n", is_invoked=True), at("x = ‸\n")) == ["foo(bar)", "foo("]
    assert len(service.requests) == 2


def test_one_character_is_shown_by_hand_or_while_a_suggestion_is_typed() -> None:
    session, _ = make(Completion(text=" )\n"))
    assert ask(session, at("f(x‸\n"), at("f(x‸\n"), at("f(x‸\n", is_invoked=True)) == [None, None, " )\n"]
    assert [trace.rule for trace in session.traces.newest(3)] == [None, "too-short", "too-short"]
    assert session.tracker.statistics.shown == 1
    session, _ = make(Completion(text="x)"))
    assert ask(session, at("f(‸\n"), at("f(x‸\n")) == ["x)", ")"]


@pytest.mark.parametrize(
    ("states", "is_started", "expected"),
    [
        ((), False, "starting"),
        ((), True, "failed"),
        ((BundleState.FAILED, BundleState.UNTRUSTED), True, "failed"),
        ((BundleState.READY, BundleState.LOADING), True, "loading"),
        ((BundleState.FAILED, BundleState.LOADING), True, "loading"),
        ((BundleState.READY, BundleState.FAILED), True, "ready"),
        ((BundleState.READY, BundleState.UNLOADED), True, "ready"),
        ((BundleState.UNLOADED, BundleState.FAILED), True, "unloaded"),
    ],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, tuple) else None,
)
@pytest.mark.parametrize("turn", [1, -1], ids=["", "turned"])
def test_the_state_of_several_bundles_is_the_first_that_the_protocol_lists(
    states: tuple[BundleState, ...], is_started: bool, expected: str, turn: int
) -> None:
    session, service = make()
    service.bundles = {Path(f"/{state}"): BundleStatus(state=state) for state in states[::turn]}
    status = describe_status(session, BundleFinder(), version="1", is_started=is_started)
    assert status["state"] == expected


def read_ahead(session: Session, *requests: CompletionRequest) -> list[bool]:
    async def test() -> list[bool]:
        begun = []
        for request in requests:
            begun.append(session.read_ahead(request))
            await asyncio.sleep(0.001)
        return begun

    return asyncio.run(test())


@pytest.mark.parametrize(
    ("document", "read_to"),
    [
        ("x = ‸\ny = 1\n", "x = "),
        ("x = f(‸)\n", "x = f("),
        ("‸x = 1\ny = 2\n", "x = 1"),
        ("val‸ue = 1", "value = 1"),
    ],
)
def test_where_the_next_key_will_ask_is_read(document: str, read_to: str) -> None:
    session, service = make()
    assert read_ahead(session, at(document)) == [True]
    [(request, _)] = service.read
    assert request.text[: request.offset] == read_to
    assert session.traces.newest() == [], "nobody has asked"


@pytest.mark.parametrize(
    ("prepare", "options", "power", "asked"),
    [
        (lambda session, _: session.pause(), OPTIONS, Power(), at("x = ‸")),
        (lambda session, _: session.snooze(5), OPTIONS, Power(), at("x = ‸")),
        (lambda _, service: setattr(service, "can_read", False), OPTIONS, Power(), at("x = ‸")),
        (lambda *_: None, replace(OPTIONS, enabled=False), Power(), at("x = ‸")),
        (lambda *_: None, replace(OPTIONS, care=CareOptions(read_ahead=False)), Power(), at("x = ‸")),
        (lambda *_: None, replace(OPTIONS, trigger=TriggerOptions(automatic=False)), Power(), at("x = ‸")),
        (lambda *_: None, OPTIONS, Power(on_battery=True, battery_percent=90.0), at("x = ‸")),
        (lambda *_: None, OPTIONS, Power(), at("x = ‸", bundle=None)),
        (lambda *_: None, OPTIONS, Power(), replace(at("x = ‸"), refusal="it is too long")),
        (lambda *_: None, OPTIONS, Power(), at("‸\n")),
    ],
    ids=["paused", "snoozed", "busy", "disabled", "option", "manual", "battery", "no-bundle", "document", "empty"],
)
def test_nothing_is_read(
    prepare: Callable[[Session, FakeService], None], options: ServerOptions, power: Power, asked: CompletionRequest
) -> None:
    session, service = make(options=options, power=power)
    prepare(session, service)
    assert read_ahead(session, asked) == [False]
    assert service.read == []


@pytest.mark.parametrize("is_from_short_prompt", [False, True])
@pytest.mark.parametrize(
    ("document", "key", "shown", "found"),
    [
        ("x = 1\n‸\ny = 2\n", "x = 1\nf‸\ny = 2\n", "oo(bar)", "typed-through"),
        ("x = 1‸\ny = 2\n", "x = 1\n‸\ny = 2\n", "foo(bar)", "exact"),
        ("x = f(‸)\n", "x = f(a‸)\n", "foo(bar)", "miss"),
    ],
    ids=["blank line", "Enter at the end of a line", "within a line"],
)
def test_the_likeliest_first_key_is_answered_while_the_cursor_rests(
    document: str, key: str, shown: str, found: str, is_from_short_prompt: bool
) -> None:
    session, service = make(
        Completion(text="foo(bar)", raw="foo(bar)\n", is_from_short_prompt=is_from_short_prompt), options=AHEAD
    )
    assert read_ahead(session, at(document)) == [True]
    assert len(service.answered) == (0 if found == "miss" else 1)
    assert ask(session, at(key)) == [shown]
    assert last(session).cache == found


def test_an_answer_from_a_short_prompt_serves_the_first_key_alone() -> None:
    session, service = make(Completion(text="foo(bar)", is_from_short_prompt=True), options=AHEAD)
    read_ahead(session, at("x = 1\n‸\n"))
    assert ask(session, at("x = 1\nf‸\n")) == ["oo(bar)"]
    assert [request.offset for request, _ in service.read] == [6, 7], "the whole text at the key"
    assert ask(session, at("x = 1\nfo‸\n")) == ["foo(bar)"], "the model's"
    assert last(session).cache == "miss"
    read_ahead(session, at("x = 1\n‸\n"))
    ask(session, at("y = ‸\n"))
    ask(session, at("x = 1\nf‸\n"))
    assert last(session).cache == "miss", "a key elsewhere came before"


def test_an_answer_from_a_short_prompt_is_typed_along_while_the_whole_one_is_read() -> None:
    session, service = make(Completion(text="foo(bar)", is_from_short_prompt=True))

    async def test() -> None:
        is_read = asyncio.Event()

        async def read(request: CompletionRequest, max_core_s: float) -> Reading:
            await is_read.wait()
            return Reading()

        service.read_ahead = read  # type: ignore[assignment,method-assign]
        await session.suggest(at("x = ‸\n"))
        newest = service._newest
        for typed, rest in (("f", "oo(bar)"), ("fo", "o(bar)")):
            shown = await session.suggest(at(f"x = {typed}‸\n"))
            assert shown is not None and shown.text == rest
        assert service._newest is newest, "nothing has ended the reading"
        assert len(service.requests) == 1
        is_read.set()
        await asyncio.gather(*session._ahead._background)
        await session.suggest(at("x = foo‸\n"))
        assert len(service.requests) == 2, "the model answers from the whole prompt"

    asyncio.run(test())


@pytest.mark.parametrize(
    ("text", "typed", "rest", "replaces"),
    [
        ("f(a, b)", "f(‸)", "a, b)", 1),
        ("'abc'", "'‸'", "abc'", 1),
        ("g(f(x))", "g(f(‸))", "x))", 2),
        ("f(a,", "f(‸)", "a,", 0),
    ],
)
def test_typing_along_replaces_the_closers_that_the_editor_has_put_in(
    text: str, typed: str, rest: str, replaces: int
) -> None:
    session, service = make(Completion(text=text))

    async def test() -> Completion | None:
        await session.suggest(at("x = ‸\n"))
        return await session.suggest(at(f"x = {typed}\n"))

    answer = asyncio.run(test())
    assert answer is not None
    assert (answer.text, answer.replaces) == (rest, replaces)
    assert len(service.requests) == 1


def test_browsing_takes_what_it_may_and_typing_gives_it_back() -> None:
    now = 0.0
    service = FakeService(Completion(text="foo(bar)"))
    session = Session(service, OPTIONS, now=lambda: now, meter=PowerMeter(lambda: 0.0, Power))  # type: ignore[arg-type]
    there = at("x = ‸\n")
    assert read_ahead(session, there, there, there) == [True, True, False], "two requests of 4 s fill 6 s"
    assert [most for _, most in service.read] == [BURST_S, BURST_S - 4.0]
    assert service.short_enough == [False, True], "below half of it a short prompt is read alone"
    now = (1.9 + PLACE_S) / RATE  # 2 s over the budget flow off until then, and half a second comes, but for a tenth
    assert read_ahead(session, there) == [False]
    now = (2.1 + PLACE_S) / RATE
    assert read_ahead(session, there) == [True]
    ask(session, there)
    assert read_ahead(session, there) == [True], "what a key made use of does not count"


def test_after_an_answer_from_a_short_prompt_the_whole_one_is_read_then_the_line_after_it_asked_for() -> None:
    session, service = make(Completion(text="foo(bar)", is_from_short_prompt=True), options=AHEAD)

    async def test() -> None:
        for _ in range(2):
            assert await session.suggest(at("x = ‸\n"))
            await asyncio.sleep(0.001)

    asyncio.run(test())
    assert [request.text[: request.offset] for request in service.requests] == ["x = ", "x = foo(bar)\n"] * 2
    assert [request.offset for request, _ in service.read] == [4, 4], "it is not cached"
    assert session.read_ahead_budget.left_s == BURST_S, "it is no browsing"


def test_asked_by_hand_the_whole_prompt_is_waited_for() -> None:
    session, service = make()
    ask(session, at("x = ‸\n", is_invoked=True))
    ask(session, at("y = ‸\n"))
    assert [request.options.trigger.cold_ms for request in service.requests] == [60_000, 400]

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from contract.bundle.bundle import Bundle, read_bundle
from contract.prompt import ContextSnippet, PromptFormat, cut_window
from lsp_server.battery import READ_EVERY_S, Power, PowerMeter
from lsp_server.http import endpoint, http_transport
from lsp_server.http.endpoint import Endpoint
from lsp_server.http.guard import Guard
from lsp_server.http.messages import Refusal, Request
from lsp_server.options import ServerOptions, TriggerOptions
from lsp_server.request import CompletionRequest
from tests.lsp_server.played_models import BUNDLE, SlowCompleter, use


class ReadingCompleter(SlowCompleter):
    """Reads a text at once."""

    def read_ahead(self, request: CompletionRequest, stop: Callable[[], bool], *_: object) -> int:
        self.started.append(f"read {request.text}")
        return 7


def slow_endpoint(**options: Any) -> tuple[Endpoint, SlowCompleter]:
    """An endpoint as if its bundle had been loaded."""
    endpoint, completer = Endpoint(ServerOptions(bundle=BUNDLE, **options), Path("/")), ReadingCompleter()
    endpoint._meter._read = Power
    use(endpoint.service, completer)
    return endpoint, completer


@asynccontextmanager
async def connected(answer: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of this machine without a token."""
    guard = Guard(token=None, host="localhost", port=8012)
    server = http_transport.http_server(http_transport.Application(guard, Mock(answer=answer)))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            server.should_exit = True
            await serving


def request(prompt: str, client: str = "editor", **more: Any) -> Request:
    body = json.dumps({"prompt": prompt, **more}).encode()
    return Request(method="POST", path="/v1/completions", headers={"user-agent": client}, body=body)


SUPERSEDED = "nothing, as a cut text"


async def outcome(endpoint: Endpoint, wanted: Request) -> str:
    """The text, SUPERSEDED, or the status of a refusal."""
    try:
        reply = await endpoint.answer(wanted)
        choice = json.loads(reply.body)["choices"][0]
        is_nothing = (reply.status, choice["text"], choice["finish_reason"]) == (200, "", "length")
        return SUPERSEDED if is_nothing else str(choice["text"])
    except Refusal as refusal:
        return str(refusal.status)


async def started(completer: SlowCompleter, text: str) -> None:
    while text not in completer.started:
        await asyncio.sleep(0.001)


def test_the_newest_request_of_a_client_ends_its_older_one() -> None:
    async def run() -> list[str]:
        endpoint, completer = slow_endpoint()
        first = asyncio.ensure_future(outcome(endpoint, request("a")))
        await started(completer, "a")
        second = asyncio.ensure_future(outcome(endpoint, request("b")))
        assert await first == SUPERSEDED, "at once, not when the model comes to it"
        await started(completer, "b")
        completer.release.set()
        answers = [await second]
        assert completer.stopped == ["a"]
        assert not endpoint._newest, "nothing is kept of clients that are answered"
        endpoint.close()
        return answers

    assert asyncio.run(run()) == ["answer to b"]


def test_an_infill_that_the_model_did_not_answer_has_no_content() -> None:
    """llama.vim caches an empty one and would not ask at that place again."""

    def infill(prompt: str) -> Request:
        return replace(request(prompt), path="/infill")

    async def run() -> None:
        endpoint, completer = slow_endpoint()
        first = asyncio.ensure_future(endpoint.answer(infill("a")))
        await started(completer, "a")
        second = asyncio.ensure_future(endpoint.answer(infill("b")))
        superseded = await first
        assert superseded.status == 200
        assert "content" not in json.loads(superseded.body)
        completer.release.set()
        assert json.loads((await second).body)["content"] == "answer to b"
        assert json.loads((await endpoint.answer(infill(" "))).body)["content"] == ""
        endpoint._meter._read = lambda: Power(on_battery=True, battery_percent=5)
        endpoint._meter = PowerMeter(itertools.count(step=READ_EVERY_S).__next__, endpoint._meter._read)
        assert "content" not in json.loads((await endpoint.answer(infill("c"))).body)
        endpoint.close()

    asyncio.run(run())


@pytest.mark.parametrize("other", [{"client": "another"}, {"user": "other"}])
def test_another_client_s_request_does_not(other: dict[str, str]) -> None:
    async def run() -> list[str]:
        endpoint, completer = slow_endpoint()
        first = asyncio.ensure_future(outcome(endpoint, request("a")))
        await started(completer, "a")
        second = asyncio.ensure_future(outcome(endpoint, request("b", **other)))
        await asyncio.sleep(0.02)
        completer.release.set()
        answers = [await first, await second]
        endpoint.close()
        return answers

    assert asyncio.run(run()) == ["answer to a", "answer to b"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("direction", [1, -1], ids=["down", "up"])
def test_the_prompt_of_a_client_that_sends_the_lines_around_the_cursor_begins_at_the_same_line(
    direction: int, line_end: str
) -> None:
    """Of two files of 600 lines that are edited in turns, 256 lines are sent, as llama.vim does."""
    files = [[f"{name}_{number} = compute({number}, {number + 1})" for number in range(600)] for name in "ab"]
    starts: dict[int, list[str]] = {0: [], 1: []}

    async def run() -> None:
        endpoint, completer = slow_endpoint()
        completer.release.set()
        for line in range(256, 600)[::direction]:
            for number, lines in enumerate(files):
                text = line_end.join([*lines[line - 256 : line], "x = "])
                await endpoint.answer(request(text, suffix=line_end + line_end.join(lines[line : line + 64])))
                asked = completer.asked[-1]
                window = cut_window(
                    asked.text[asked.window_from :], asked.offset - asked.window_from, PromptFormat(), _count
                )
                starts[number].append(window.prefix.partition("\n")[0])
                assert _count(window.prefix) > 700, "there is enough"
        endpoint.close()

    asyncio.run(run())
    for begins in starts.values():
        assert sum(one != other for one, other in itertools.pairwise(begins)) < len(begins) / 10


def _count(piece: str) -> int:
    """Tokens, more or less."""
    return -(-len(piece) // 4)


def test_a_client_that_asks_without_pause_does_not_starve_another() -> None:
    async def run() -> str:
        endpoint, completer = slow_endpoint()
        eager = [asyncio.ensure_future(outcome(endpoint, request("eager 0", "eager")))]
        await started(completer, "eager 0")
        patient = asyncio.ensure_future(outcome(endpoint, request("patient", "patient")))
        for number in range(1, 50):
            eager.append(asyncio.ensure_future(outcome(endpoint, request(f"eager {number}", "eager"))))
            await asyncio.sleep(0.002)
        await started(completer, "patient")
        completer.release.set()
        answer = await patient
        rest = await asyncio.gather(*eager)
        assert rest == [SUPERSEDED] * 49 + ["answer to eager 49"]
        endpoint.close()
        return answer

    assert asyncio.run(run()) == "answer to patient"


def test_a_warm_up_is_read_and_ends_nothing() -> None:
    async def run() -> None:
        endpoint, completer = slow_endpoint()
        asking = asyncio.ensure_future(outcome(endpoint, request("a")))
        await started(completer, "a")
        reading = asyncio.ensure_future(outcome(endpoint, request("b", max_tokens=0)))
        assert await outcome(endpoint, request(" ", max_tokens=0)) == "", "nothing to read"
        completer.release.set()
        assert [await asking, await reading] == ["answer to a", ""]
        assert completer.started == ["a", "read b"]
        endpoint.close()

    asyncio.run(run())


def test_a_client_that_hangs_up_ends_its_request() -> None:
    async def run() -> None:
        endpoint, completer = slow_endpoint()
        async with connected(endpoint.answer) as (_, writer):
            head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\n\r\n"
            writer.write(head + b'{"prompt":"a"}')
            await started(completer, "a")
            writer.close()
            while "a" not in completer.stopped:
                await asyncio.sleep(0.001)
            assert not endpoint._newest
        endpoint.close()

    asyncio.run(asyncio.wait_for(run(), 30))


@pytest.mark.parametrize("error", [OSError("of a disk"), ConnectionResetError("of another connection"), KeyError("x")])
def test_an_error_of_the_answering_is_answered_and_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: Request) -> Any:
        await asyncio.sleep(0)
        raise error

    async def run() -> bytes:
        async with connected(fail) as (reader, writer):
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return await reader.read()

    assert asyncio.run(asyncio.wait_for(run(), 30)).startswith(b"HTTP/1.1 500 ")
    assert "A request was not answered" in caplog.text
    assert str(error) in caplog.text


def test_a_low_battery_is_spared() -> None:
    async def run() -> str:
        endpoint, completer = slow_endpoint()
        endpoint._meter._read = lambda: Power(on_battery=True, battery_percent=5)
        answer = await outcome(endpoint, request("a"))
        assert completer.started == []
        endpoint.close()
        return answer

    assert asyncio.run(run()) == ""


def test_line_ends_are_the_client_s() -> None:
    async def run() -> str:
        endpoint, completer = slow_endpoint()
        completer.release.set()
        answer = await outcome(endpoint, request("a\r\nb\r\n"))
        endpoint.close()
        return answer

    assert asyncio.run(run()) == "answer to a\r\nb\r\n"


def test_the_answer_is_the_completer_s_own(tiny_bundle: Bundle) -> None:
    """As `submodel complete` gives it: of the same engine, prompt and filters."""
    from lsp_server.completion import open_completer

    before, after = 'def greet(name):\n    face = "😋"; return ', "\n\ndef other(x):\n    return x\n"
    options = ServerOptions(threads=1, trigger=TriggerOptions(budget_ms=60_000, cold_ms=60_000))

    async def run() -> str:
        endpoint = Endpoint(options, tiny_bundle.folder.parents[1])
        endpoint._meter._read = Power
        assert endpoint.start() is None
        answer = await outcome(endpoint, request(before, suffix=after, path="greet.txt"))
        endpoint.close()
        return answer

    completer = open_completer(tiny_bundle.folder, threads=1)
    asked = CompletionRequest(text=before + after, offset=len(before), path="greet.txt", options=options)
    expected = completer.complete(asked).text
    assert expected
    assert asyncio.run(run()) == expected


def test_without_a_bundle_the_client_learns_what_to_do(tmp_path: Path) -> None:
    async def run() -> None:
        endpoint = Endpoint(ServerOptions(), tmp_path)
        assert "submodel build" in str(endpoint.start())
        with pytest.raises(Refusal, match="submodel build") as caught:
            await endpoint.answer(request("a"))
        assert caught.value.status == 503
        with pytest.raises(Refusal, match="no bundle"):
            await endpoint.answer(Request(method="GET", path="/health", headers={}, body=b""))
        endpoint.close()

    asyncio.run(run())


def test_a_named_folder_without_a_bundle_is_reported_at_the_start(tmp_path: Path) -> None:
    async def run() -> None:
        endpoint = Endpoint(ServerOptions(bundle=tmp_path / "nope"), tmp_path)
        assert "nope holds no bundle yet" in str(endpoint.start())
        endpoint.close()

    asyncio.run(run())


def test_a_bundle_that_is_built_anew_is_loaded(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp_server.service.QUIET_S", 0.0)

    async def run() -> None:
        time_s = 0.0
        endpoint = Endpoint(ServerOptions(threads=1), tiny_bundle.folder.parents[1], now=lambda: time_s)
        endpoint._meter._read = Power
        endpoint.start()
        await outcome(endpoint, request("a"))
        status = endpoint.service.bundles[tiny_bundle.folder]
        assert status.build == read_bundle(tiny_bundle.folder).build
        # As if another build had been loaded before.
        endpoint.service.states.set(tiny_bundle.folder, replace(status, build="older"))
        await outcome(endpoint, request("b"))
        await asyncio.sleep(0.01)
        assert endpoint.service.build_of(tiny_bundle.folder) == "older", "it is not looked for with each request"
        time_s = 60.0
        await outcome(endpoint, request("c"))
        await asyncio.sleep(0.01)
        await outcome(endpoint, request("d"))  # behind the loading
        assert endpoint.service.build_of(tiny_bundle.folder) == status.build
        endpoint.close()

    asyncio.run(run())


def test_a_server_whose_folder_is_removed_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Started(Exception):
        pass

    def start(options: ServerOptions, folder: Path) -> Endpoint:
        assert folder == Path.home()
        raise Started

    (tmp_path / "worktree").mkdir()
    monkeypatch.chdir(tmp_path / "worktree")
    (tmp_path / "worktree").rmdir()
    monkeypatch.setattr(http_transport, "Endpoint", start)
    with pytest.raises(Started):
        http_transport.serve_http("127.0.0.1", 0, ServerOptions(), is_open=True)


def test_the_newest_pieces_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = tuple(ContextSnippet(path=name, text=name * 40 + "\n" + name * 40) for name in "abc")

    def fitting(characters: int) -> tuple[ContextSnippet, ...]:
        monkeypatch.setattr(endpoint, "MAX_CONTEXT_CHARACTERS", characters)
        return endpoint._newest_snippets(pieces)

    assert fitting(1000) == pieces
    assert [one.path for one in fitting(170)] == ["b", "c"]
    assert [(one.path, one.text) for one in fitting(60)] == [("c", "c" * 40 + "\n")]
    assert fitting(10) == ()

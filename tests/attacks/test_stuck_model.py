"""Native code of a model that does not come back: the server answers, reloads and ends all the same.

All tests succeed as attacks on 104ea66: the reload waited for ever, and so did the process that was told to exit.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, ValueInfoProto, helper

import lsp_server.service as module
from contract.bundle.bundle import Bundle
from lsp_server.bundle_states import BundleState
from lsp_server.request import Completion, CompletionRequest
from lsp_server.serve_errors import ServeError
from lsp_server.service import CompletionService
from lsp_server.worker import SILENT_S, GivenUp, Worker
from tests.lsp_server.played_models import use

pytestmark = pytest.mark.slow  # each test waits for a model

STUCK = Path("/stuck")


class StuckCompleter:
    """Asks nobody, and comes back when the test is over."""

    silent_s = 0.0

    def __init__(self, worker: Worker) -> None:
        self.begun, self.release, self.interrupted = threading.Event(), threading.Event(), threading.Event()
        self._worker = worker

    def complete(self, request: CompletionRequest, stop: Callable[[], bool]) -> Completion:
        self._worker.beat(self.silent_s)
        self.begun.set()
        self.release.wait()
        return Completion(text="too late")

    def interrupt(self) -> None:
        self.interrupted.set()


def run(test: Callable[[CompletionService, StuckCompleter], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.05)
    service = CompletionService()
    completer = StuckCompleter(service._worker)
    use(service, completer, STUCK)
    try:
        asyncio.run(asyncio.wait_for(test(service, completer), 120))  # type: ignore[arg-type]
    finally:
        completer.release.set()
        service.close()


def test_a_request_is_answered_and_the_next_bundle_is_loaded(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(service: CompletionService, completer: StuckCompleter) -> None:
        with pytest.raises(ServeError) as given_up:
            await service.complete(CompletionRequest(text="x = ", offset=4, bundle=STUCK))
        assert str(given_up.value) == "The model stopped responding and was unloaded; the next request loads it again."
        assert completer.interrupted.is_set()
        assert service.bundles[STUCK].state is BundleState.UNLOADED
        other = await service.complete(CompletionRequest(text="x = ", offset=4, bundle=tiny_bundle.folder))
        assert other is not None
        [stuck] = service._given_up
        assert not stuck.is_idle()
        completer.release.set()
        while not stuck.is_idle():
            await asyncio.sleep(0.001)
        assert list(service._loaded.completers) == [tiny_bundle.folder], "who comes back too late changes nothing"

    run(test, monkeypatch)


def test_a_reload_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(service: CompletionService, completer: StuckCompleter) -> None:
        request = asyncio.create_task(service.complete(CompletionRequest(text="x = ", offset=4, bundle=STUCK)))
        while not completer.begun.is_set():
            await asyncio.sleep(0.01)
        service.supersede()
        await service.forget()
        assert service.bundles == {}
        with pytest.raises(ServeError):
            await request
        assert not service.is_answering()

    run(test, monkeypatch)


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_a_process_that_stood_still_keeps_its_model(is_waited_for: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Succeeds as an attack on 1e37c6c: Ctrl-Z in Helix while a model answered, and `fg` a minute later.

    Nobody waits for a load that an edit begins, so the first request comes after the standstill.
    """
    stood_still_s = 0.0
    clock = SimpleNamespace(perf_counter=time.perf_counter, monotonic=lambda: time.monotonic() + stood_still_s)
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr("lsp_server.worker.time", clock)
    monkeypatch.setattr(StuckCompleter, "silent_s", SILENT_S)

    async def test(service: CompletionService, completer: StuckCompleter) -> None:
        nonlocal stood_still_s
        is_stuck = service._worker.is_stuck
        looks: list[bool] = []

        def look() -> bool:
            looks.append(is_stuck())
            return looks[-1]

        monkeypatch.setattr(service._worker, "is_stuck", look)
        request = CompletionRequest(text="x = ", offset=4, bundle=STUCK)
        job = service._worker.submit(completer.complete, request, lambda: False)
        waiting = [asyncio.create_task(service.settle(job))] if is_waited_for else []
        await asyncio.sleep(0)  # the wait begins
        while not completer.begun.is_set():
            await asyncio.sleep(0.01)
        stood_still_s = 2 * SILENT_S
        looks.clear()
        asked = asyncio.create_task(service.complete(request))
        while len(looks) < 3 and not asked.done():
            await asyncio.sleep(0.001)
        completer.release.set()
        for answer in await asyncio.gather(asked, *waiting):
            assert answer is not None and answer.text == "too late"
        assert not completer.interrupted.is_set()

    run(test, monkeypatch)


def test_a_job_that_is_silent_gets_its_time_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks now and then, and hangs up, would otherwise keep a stuck model for ever."""
    now_s = 0.0
    monkeypatch.setattr("lsp_server.worker.time", SimpleNamespace(monotonic=lambda: now_s))
    worker, begun, release = Worker(), threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        release.wait()

    running = worker.submit(job)
    begun.wait()
    seen = []
    for _ in range(3):
        now_s += 2 * SILENT_S
        worker.note_look(SILENT_S)
        seen.append(worker.is_stuck())
    release.set()
    running.result()
    worker.close()
    assert seen == [False, True, True]


def test_a_thread_that_was_given_up_ends_at_its_next_beat() -> None:
    first, second = Worker(), Worker()
    first.submit(first.beat).result()
    with pytest.raises(GivenUp):
        first.submit(second.beat).result()
    first.close()
    second.close()


def test_a_graph_without_end_is_interrupted() -> None:
    """What `Decoder.interrupt` relies on: ONNX Runtime looks at `terminate` between two nodes, in loops too."""
    number, truth = TensorProto.INT64, TensorProto.BOOL

    def scalar(name: str, kind: int) -> ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, [])

    nodes = [helper.make_node("Identity", ["go_on"], ["again"]), helper.make_node("Add", ["before", "turn"], ["after"])]
    inside = [scalar("turn", number), scalar("go_on", truth), scalar("before", number)]
    body = helper.make_graph(nodes, "body", inside, [scalar("again", truth), scalar("after", number)])
    loop = helper.make_node("Loop", ["turns", "go", "turns"], ["sum"], body=body)
    graph = helper.make_graph(
        [loop], "endless", [scalar("turns", number), scalar("go", truth)], [scalar("sum", number)]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    options = onnxruntime.RunOptions()
    threading.Timer(0.2, lambda: setattr(options, "terminate", True)).start()
    with pytest.raises(Exception, match="terminate"):
        session.run(None, {"turns": np.array(1 << 62), "go": np.array(True)}, options)


END = """
import sys, threading, time
from pathlib import Path
from lsp_server import transports as serve
from lsp_server.options import ServerOptions
serve.END_WITHIN_S = 0.2
create = serve.create_server
def create_stuck(*arguments):
    server = create(*arguments)
    begun = threading.Event()
    server.service._worker.submit(lambda: (begun.set(), time.sleep(3600)))
    begun.wait()
    if "given up" in sys.argv:
        server.service._give_up_worker()
    return server
serve.create_server = create_stuck
serve.serve_stdio(ServerOptions(), "0")
"""


@pytest.mark.parametrize("state", ["stuck", "given up"])
def test_the_server_ends_when_its_client_leaves(state: str) -> None:
    command = [sys.executable, "-c", END, state]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    assert done.returncode == 1
    assert b"The model does not come back; the server ends without it." in done.stderr

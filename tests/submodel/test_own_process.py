"""A call in a process of its own: what it returns, what it sees, and what ends with it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from contract.children import python_module
from submodel.fleet import own_process
from submodel.fleet.own_process import OVER_TIME, build_in_own_process, call_in_own_process

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")

# A worker of Ray that sleeps in a process of its own.
WORKER = (
    "import time\nfrom submodel.fleet import own_process\n"
    "own_process._LIBRARIES.clear()\nown_process.call_in_own_process(time.sleep, 600)"
)


def kill_itself(document: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hold_the_lock(document: object) -> None:
    ctypes.PyDLL(None).sleep(60)


@pytest.fixture(autouse=True)
def _without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "_LIBRARIES", [])


def test_each_call_has_a_process_of_its_own() -> None:
    pids = {call_in_own_process(os.getpid) for _ in range(2)}
    assert len(pids - {os.getpid()}) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_it_sees_the_environment_of_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpu in "01":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu)
        assert call_in_own_process(os.getenv, "CUDA_VISIBLE_DEVICES") == gpu


def test_an_error_is_raised_here() -> None:
    with pytest.raises(FileNotFoundError):
        call_in_own_process(os.listdir, "/nowhere")


@posix
def test_a_killed_process_is_an_error_and_the_next_call_works() -> None:
    with pytest.raises(BrokenProcessPool):
        call_in_own_process(signal.raise_signal, signal.SIGKILL)
    assert call_in_own_process(abs, -1) == 1


@posix
@pytest.mark.parametrize(("build", "time_limit_s"), [(kill_itself, 600.0), (hold_the_lock, 0.5)])
def test_a_worker_ends_with_its_build(
    build: Callable[[Any], None], time_limit_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray starts the task again if its worker is lost, and only then. At the time limit the build is killed.

    On cc3f76c one that held the interpreter's lock had no limit: a thread of its own was to end it.
    """

    class Ended(Exception):
        pass

    def end(status: int) -> NoReturn:
        raise Ended(str(status))

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(own_process, "_build", build)
    with pytest.raises(Ended, match="1"):
        build_in_own_process({"work": tmp_path, "name": ".", "time_limit_s": time_limit_s, "run": "now"})
    assert (tmp_path / OVER_TIME).exists() is (build is hold_the_lock)


def test_it_ends_with_a_worker_that_is_killed() -> None:
    worker = subprocess.Popen([python_module("submodel")[0], "-c", WORKER])
    try:
        until = time.monotonic() + 60
        asleep: list[psutil.Process] = []
        while not asleep and time.monotonic() < until:
            time.sleep(0.1)
            below = psutil.Process(worker.pid).children(recursive=True)
            asleep = [one for one in below if one.ppid() != worker.pid]
        assert asleep, "forked from a process that the worker started"
    finally:
        worker.kill()
        worker.wait()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not alive

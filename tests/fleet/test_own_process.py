"""A call in a process of its own: what it returns, what it sees, and what ends with it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from builder.finetuning.finetune_settings import DEVICE_VARIABLE
from contract.children import kill_tree, python_module
from fleet import own_process, task
from fleet.layout import OVER_TIME
from fleet.own_process import build_in_own_process, call_in_own_process

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")

ASLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# A worker of Ray whose build waits for a program in a session of its own, as git is started.
WORKER = (
    "import subprocess\nfrom fleet import own_process\n"
    "own_process._LIBRARIES.clear()\n"
    f"own_process.call_in_own_process(subprocess.run, {ASLEEP!r}, start_new_session=True)"
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


def test_on_macos_nothing_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    methods: list[str] = []

    def note(method: str) -> Any:
        methods.append(method)
        return real(method)

    real = multiprocessing.get_context
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(multiprocessing, "get_context", note)
    assert call_in_own_process(abs, -1) == 1
    assert methods == ["spawn"]


@pytest.mark.parametrize(("gpus", "given", "seen"), [(0.0, None, "cpu"), (0.5, None, None)])
def test_a_task_without_a_gpu_fine_tunes_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, gpus: float, given: str | None, seen: str | None
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, given or "")
    if given is None:
        monkeypatch.delenv(DEVICE_VARIABLE)
    monkeypatch.setattr(task, "build_repository", lambda document: os.environ.get(DEVICE_VARIABLE))
    device: object = own_process._build({"gpus": gpus})
    assert device == seen


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


def below_once_asleep(pid: int) -> list[psutil.Process]:
    """The processes below one, as soon as the program is among them."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.1)
        below = psutil.Process(pid).children(recursive=True)
        with suppress(psutil.Error):
            if any(one.cmdline()[-1:] == ASLEEP[-1:] for one in below):
                return below
    raise AssertionError("no program was started")


def still_alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that go on after half a minute. One that has ended stays a zombie until its new parent asks for it."""

    def goes_on(process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess):
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False

    until = time.monotonic() + 30
    while (alive := [one for one in processes if goes_on(one)]) and time.monotonic() < until:
        time.sleep(0.1)
    return alive


def test_it_ends_with_a_worker_that_is_killed() -> None:
    """Its program, too: on 1e37c6c git went on fetching into the folder that the next try removes."""
    worker = subprocess.Popen([python_module("submodel")[0], "-c", WORKER])
    try:
        below = below_once_asleep(worker.pid)
    finally:
        worker.kill()
        worker.wait()
    assert not still_alive(below)


def test_what_a_build_has_started_ends_with_it_at_the_time_limit() -> None:
    process = multiprocessing.get_context("spawn").Process(target=subprocess.run, args=(ASLEEP,))
    process.start()
    assert process.pid is not None
    below = below_once_asleep(process.pid)
    kill_tree(process)
    process.join()
    assert not still_alive(below)

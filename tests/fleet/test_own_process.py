"""A build in a process of its own: what it returns, and what ends with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from builder.finetuning.finetune_settings import DEVICE_VARIABLE
from contract.children import python_module
from fleet import own_process, task
from fleet.own_process import build_in_own_process

ASLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# A worker of Ray whose build waits for a program in a session of its own, as git is started.
BUILDER = f"""if True:
    import subprocess
    from fleet import own_process
    own_process._build = lambda document: subprocess.run({ASLEEP!r}, start_new_session=True)
    own_process.main()
"""


def play(monkeypatch: pytest.MonkeyPatch, build: str) -> None:
    """The build's process does something else."""
    code = f"from fleet import own_process\nown_process._build = {build}\nown_process.main()"
    monkeypatch.setattr(own_process, "python_module", lambda name: (sys.executable, "-c", code))


def document(folder: Path, **differs: Any) -> dict[str, Any]:
    return {"work": str(folder), "name": "one", "fingerprint": "f", "time_limit_s": 600.0, **differs}


def test_the_outcome_is_what_the_build_returns_whatever_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    play(monkeypatch, "lambda given: print('hi') or [given['name'], __import__('os').environ['CUDA_VISIBLE_DEVICES']]")
    assert json.loads(build_in_own_process(document(tmp_path))) == ["one", "3"]


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


def test_at_its_time_limit_a_build_is_killed_and_that_is_its_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that holds the interpreter's lock."""
    play(monkeypatch, "lambda given: __import__('ctypes').PyDLL(None).sleep(60)")
    (tmp_path / "one" / "repository").mkdir(parents=True)
    outcome = json.loads(build_in_own_process(document(tmp_path, time_limit_s=3.0)))
    assert outcome["reason"] == "It took longer than 0.05 minutes; raise time_limit_minutes."
    assert not (tmp_path / "one" / "repository").exists()


def test_a_worker_ends_with_its_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray starts the task again if its worker is lost, and only then."""

    class Ended(Exception):
        pass

    def end(status: int) -> NoReturn:
        raise Ended(str(status))

    monkeypatch.setattr(os, "_exit", end)
    play(monkeypatch, "lambda given: __import__('os').abort()")
    with pytest.raises(Ended, match="1"):
        build_in_own_process(document(tmp_path))


@pytest.mark.slow
def test_a_build_and_its_programs_end_with_a_worker_that_is_killed() -> None:
    worker = subprocess.Popen([python_module("submodel")[0], "-c", BUILDER], stdin=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.write(b"{}\n")
    worker.stdin.flush()
    below = below_once_asleep(worker.pid)
    worker.stdin.close()  # as the system does when its worker is killed
    assert worker.wait(60) == 1
    assert not still_alive(below)


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

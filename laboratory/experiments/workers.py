"""Measures the points of a sweep in processes of this machine, or on a Ray cluster. A lost worker costs its point only.

Each point has its own process, which also gives its memory back. A pool would break if one of its processes is killed.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contract.children import child_environment, python_module
from contract.errors import SubmodelError
from contract.files.state_folder import state_folder
from laboratory.experiments.point import Unprepared, measure_point

Document = Mapping[str, Any]
# Exit statuses of a worker whose last line says why: the point can't be measured at all, or not on that machine.
REFUSED: Final = 3
UNPREPARED: Final = 4


@dataclass(frozen=True, kw_only=True)
class Done:
    """A point's figures."""

    name: str
    result: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A point without figures. `is_final`: the same would happen again."""

    name: str
    reason: str
    is_final: bool


def run_in_processes(tasks: Mapping[str, Document], *, jobs: int, threads: int) -> Iterator[Done | Lost]:
    """Run each task in its own process, `jobs` at a time with `threads` threads each; yield results as they come."""
    with tempfile.TemporaryDirectory(prefix="submodel-sweep-") as folder:
        waiting = list(tasks.items())
        running: list[_Process] = []
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    name, document = waiting.pop(0)
                    running.append(_Process(name, document, Path(folder), threads))
                ended = [process for process in running if process.has_ended()]
                if not ended:
                    time.sleep(0.1)
                for process in ended:
                    running.remove(process)
                    yield process.outcome()
        finally:
            for process in running:
                process.stop()


class _Process:
    """The process of one point."""

    def __init__(self, name: str, document: Document, folder: Path, threads: int) -> None:
        self._name = name
        source = folder / f"{name}.task.json"
        self._target = folder / f"{name}.result.json"
        self._words = folder / f"{name}.log"
        source.write_text(json.dumps(document), "utf-8")
        command = [*python_module("laboratory.experiments"), str(source), str(self._target), str(threads)]
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # never written to: its end tells the worker that the sweep is gone
                stdout=words,
                stderr=words,
                env=child_environment() | {"OMP_NUM_THREADS": str(threads)},
            )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def outcome(self) -> Done | Lost:
        self._close()
        status = self._process.returncode
        if status == 0 and self._target.is_file():
            return Done(name=self._name, result=json.loads(self._target.read_text("utf-8")))
        lines = self._words.read_text("utf-8", errors="replace").strip().splitlines()
        words = lines[-1] if lines else "it said nothing"
        if status in (REFUSED, UNPREPARED):
            return Lost(name=self._name, reason=words, is_final=status == REFUSED)
        reason = f"its process ended with {status}: {words}" if status >= 0 else f"its process was killed ({-status})"
        return Lost(name=self._name, reason=reason, is_final=False)


def run_on_ray(tasks: Mapping[str, Document], *, address: str, threads: int) -> Iterator[Done | Lost]:
    """Run each task on a Ray cluster; `address` as ray.init takes it, or "local" for one that ends with the sweep.

    Every machine of the cluster needs submodel[build] and the base, and the datasets' folders at the same paths. Points
    are lost on a machine where a text, the base or the version of submodel differs.
    """
    # Ray's own threads print news of its nodes to stdout, which belongs to the command's answer.
    with contextlib.redirect_stdout(sys.stderr):
        yield from _run_on_ray(tasks, address, threads)


def _run_on_ray(tasks: Mapping[str, Document], address: str, threads: int) -> Iterator[Done | Lost]:
    try:
        import ray
    except ImportError as error:
        raise SubmodelError("--ray needs the package ray; install it into submodel's environment.") from error
    try:
        # Ray's workers import from the folder that the driver stands in, which may be a stranger's repository.
        with contextlib.chdir(state_folder()):
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
    except Exception as error:  # Ray raises a plain Exception if a cluster does not start
        raise SubmodelError(
            f"There is no Ray cluster at {address} ({_last_line(error)}); start one. If one runs there, it may ask for "
            "a token: set RAY_AUTH_MODE=token."
        ) from error
    try:
        most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if most < threads:
            raise SubmodelError(
                f"No machine of the Ray cluster has {threads} cores, the largest {most:g}; ask for less with --threads."
            )
        # Ray itself repeats a task whose worker died; a task that is lost after that is reported.
        remote = ray.remote(num_cpus=threads, max_retries=1)(measure_point)
        names = {remote.remote(dict(document), threads): name for name, document in tasks.items()}
        while names:
            (ready, *_), _ = ray.wait(list(names), num_returns=1)
            name = names.pop(ready)
            try:
                yield Done(name=name, result=ray.get(ready))
            except SubmodelError as error:
                # Ray's error is of its own class and the task's, and its text is a traceback. Its cause is the task's.
                cause = getattr(error, "cause", error)
                yield Lost(name=name, reason=_last_line(cause), is_final=not isinstance(error, Unprepared))
            except ray.exceptions.RayError as error:
                yield Lost(name=name, reason=_last_line(error), is_final=False)
    finally:
        ray.shutdown()


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__

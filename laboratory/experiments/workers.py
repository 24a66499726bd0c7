"""Measures the points of a sweep in processes of this machine. A lost worker costs its point only.

Each point has its own process, which also gives its memory back. A pool would break if one of its processes is killed.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contract.children import child_environment, python_module

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

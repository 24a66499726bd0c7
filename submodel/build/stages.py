"""Stages that are not repeated: each records what it was made from, and is skipped while that still holds."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.folders import write_json
from builder.untrusted_json import read_json
from submodel.console import Advance, StageDisplay


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What a finished stage left: its key, its time, its result (JSON)."""

    name: str
    key: str
    seconds: float
    result: Any
    is_fresh: bool  # made in this run, not kept from an earlier one


def key_of(**inputs: object) -> str:
    """A hash of everything that a stage's outcome depends on."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()


class Stages:
    """The stages of one build and their records in `folder`."""

    def __init__(self, folder: Path, display: StageDisplay, *, force: bool) -> None:
        self._folder = folder
        self._display = display
        self._force = force
        self.records: list[StageRecord] = []

    def is_finished(self, name: str, key: str, outputs: Sequence[Path] = ()) -> bool:
        """Whether the stage has run on the same inputs and its outputs are still there."""
        return not self._force and self._read(name, key, outputs) is not None

    def run(self, name: str, key: str, make: Callable[[Advance], Any], outputs: Sequence[Path] = ()) -> StageRecord:
        """The stage's record, from an earlier run where it holds. `make(advance)` returns the result, as JSON.

        The record is written after the outputs, so that a stage that was interrupted counts as not run.
        """
        found = None if self._force else self._read(name, key, outputs)
        if found is not None:
            self._display.say(f"{name}: kept from an earlier run")
            record = StageRecord(name=name, key=key, seconds=found["seconds"], result=found["result"], is_fresh=False)
        else:
            self._path(name).unlink(missing_ok=True)
            started = time.perf_counter()
            with self._display.stage(name) as advance:
                result = make(advance)
            seconds = round(time.perf_counter() - started, 2)
            write_json(self._path(name), {"key": key, "seconds": seconds, "result": result})
            record = StageRecord(name=name, key=key, seconds=seconds, result=result, is_fresh=True)
        self.records.append(record)
        return record

    def adopt(self, name: str, other: str) -> None:
        """Let the finished stage `other` count as `name`, whose outputs the caller has put in place."""
        write_json(self._path(name), json.loads(self._path(other).read_text("utf-8")))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read(self, name: str, key: str, outputs: Sequence[Path]) -> Mapping[str, Any] | None:
        try:
            record = read_json(self._path(name))
        except (OSError, ValueError):
            return None  # never run, or interrupted
        if not isinstance(record, dict) or not {"key", "seconds", "result"} <= record.keys():
            return None
        if record["key"] != key or not all(path.exists() for path in outputs):
            return None
        return dict(record)

"""Stages that are not repeated: each records what it was made from, and is skipped while that still holds.

A repository may bring records and models along. A record counts only if this user's program sealed it
(`contract.files.seals`) and its outputs still have the recorded hashes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from builder.artifact import MANIFEST
from builder.memory import give_back_memory
from contract.errors import BuildError
from contract.files.file_hash import hash_file
from contract.files.seals import open_sealed, seal_key, sealed_json
from contract.files.untrusted_json import read_bytes
from contract.files.whole_files import PRIVATE, write_text
from contract.progress import OnEvent, OnProgress
from submodel.build.outputs import OutputHashes
from submodel.console import StageDisplay

PURPOSE: Final = "stage record"


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What a finished stage left: its time, its result (JSON)."""

    name: str
    seconds: float
    result: Any
    is_fresh: bool  # made in this run, not kept from an earlier one


def hash_of(**inputs: object) -> str:
    """A hash of everything that a stage's outcome depends on."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()


def made_at(model: Path) -> str | None:
    """SHA-256 of the manifest of the model in a folder; None if it has none. Raises BuildError if it can't be read."""
    path = model / MANIFEST
    try:
        return hash_file(path) if path.is_file() else None
    except OSError as error:
        raise BuildError(f"{path} can't be read ({error.strerror or error}); check its permissions.") from error


@contextmanager
def kept_record(name: str, output: Path, folder: Path) -> Iterator[None]:
    """While it is entered, `output` may change and stays what the stage `name` made, as that stage's only output.

    Without its record in `folder`, or if `output` has changed before, nothing is recorded. Raises StateFolderError if
    this user's key can't be read.
    """
    seal = seal_key()
    try:
        record = open_sealed(seal, PURPOSE, name, read_bytes(_record_path(folder, name)))
        is_made = record is not None and record.get("outputs") == [OutputHashes().of(output)]
    except (OSError, ValueError, BuildError):  # no record, or an output that no stage has made
        record, is_made = None, False
    yield
    if record is not None and is_made:
        _write_record(folder, name, seal, {**record, "outputs": [OutputHashes().of(output)]})


def _write_record(folder: Path, name: str, seal: bytes, record: Mapping[str, Any]) -> None:
    write_text(_record_path(folder, name), sealed_json(seal, PURPOSE, name, record), mode=PRIVATE)


def _record_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


class Stages:
    """The stages of one build and their records in `folder`.

    force: no stage is kept from an earlier run. If this run is stopped, the next one without `force` keeps only what
    this one has finished. Raises OSError if the records can't be written.
    """

    def __init__(self, folder: Path, display: StageDisplay, *, force: bool) -> None:
        self._folder = folder
        self._display = display
        self._seal_key = seal_key()
        self._hashes = OutputHashes()
        self.records: list[StageRecord] = []
        if force:
            self._forget()

    def run(
        self, name: str, stage_hash: str, make: Callable[[OnProgress], Any], outputs: Sequence[Path] = ()
    ) -> StageRecord:
        """The stage's record, from an earlier run where it holds. `make(advance)` returns the result, as JSON.

        The record is written after the outputs, so that a stage that was interrupted counts as not run. What an earlier
        run made holds for as long as it is there.
        """
        found = self._read(name, stage_hash, outputs, self._display.say)
        if found is not None:
            self._display.keep(name)
            record = StageRecord(name=name, seconds=found["seconds"], result=found["result"], is_fresh=False)
        else:
            started = time.perf_counter()
            with self._display.stage(name) as advance:
                result = make(advance)
                give_back_memory()
            seconds = round(time.perf_counter() - started, 2)
            made = [self._hashes.of(path) for path in outputs]
            self._write(name, {"stage_hash": stage_hash, "seconds": seconds, "result": result, "outputs": made})
            record = StageRecord(name=name, seconds=seconds, result=result, is_fresh=True)
        self.records.append(record)
        return record

    def _forget(self) -> None:
        """Remove the records of earlier runs."""
        for path in self._folder.glob("*.json"):
            try:
                content = read_bytes(path)
            except (OSError, ValueError):  # no file that a stage has written
                continue
            if open_sealed(self._seal_key, PURPOSE, path.stem, content) is not None:
                path.unlink()

    def _path(self, name: str) -> Path:
        return _record_path(self._folder, name)

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        _write_record(self._folder, name, self._seal_key, record)

    def _read(self, name: str, stage_hash: str, outputs: Sequence[Path], say: OnEvent) -> Mapping[str, Any] | None:
        try:
            content = read_bytes(self._path(name))
        except FileNotFoundError:
            return None  # never run, or interrupted
        except (OSError, ValueError):
            content = b""
        record = open_sealed(self._seal_key, PURPOSE, name, content)
        if record is None:
            say(f"{name} runs again: this account did not write the record of its last run")
            return None
        if record.get("stage_hash") != stage_hash or not all(path.exists() for path in outputs):
            return None
        try:
            is_same = [self._hashes.of(path) for path in outputs] == record["outputs"]
        except (OSError, BuildError):  # a link, say: nothing that a stage has made
            is_same = False
        if not is_same:
            say(f"{name} runs again: its output was changed since the last run")
            return None
        return record

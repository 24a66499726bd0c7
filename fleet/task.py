"""One repository's build, as a task of Ray. It needs nothing but its document, and leaves all it made in its folder.

Each task has a process of its own (`fleet.own_process`). If it is killed, Ray starts the task again, and the
build resumes from its stages.
"""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from contract.errors import BuildError, SubmodelError
from contract.files.disk_calls import remove_tree
from contract.files.disk_errors import resource_problem
from fleet.fleet_file import BuildPart
from fleet.git_source import fetch
from fleet.identity import COMMIT, fingerprint_of, this_program
from fleet.layout import FETCHED, LOG, Outcome
from submodel.build.lock import build_lock, when_free

LOCK_WAIT_S: Final = 180.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one build depends on. The same content elsewhere gives the same model."""

    name: str
    source: str
    fingerprint: str  # `fingerprint_of` a folder, or COMMIT and the commit
    base: str
    base_sha256: str
    build: Mapping[str, Any]  # of a `BuildPart`
    work: str  # the folder of work, by its whole path
    program: str  # `this_program` of the caller
    cores: int
    gpus: float  # 0: it fine-tunes on the CPU, whatever the machine has
    dtype: str  # measured by the caller: on another or a busy machine another one may win, and give other weights
    time_limit_s: float


def build_repository(document: Mapping[str, Any]) -> Outcome:
    """Run the build of a `Task`. What goes wrong is an outcome with a reason, not an error."""
    if document.get("program") != this_program():  # first: a task of another version may have other fields
        return _of_another_version(document)
    try:
        task = Task(**document)
    except TypeError:
        return _of_another_version(document)
    folder = Path(task.work) / task.name
    started = time.perf_counter()
    outcome: Outcome = {"fingerprint": task.fingerprint, "machine": platform.node()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _log(folder / LOG):
            outcome["fingerprint"] = _build(task, folder)
    except SubmodelError as error:
        outcome["reason"] = " ".join(str(error).split())
    except Exception as error:
        if sentence := resource_problem(error):
            outcome["reason"] = f"The build failed on {platform.node()}: {sentence}."
        else:
            # A defect of ours, or of a library: this repository's row, and not the end of the others.
            with suppress(OSError), (folder / LOG).open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            outcome["reason"] = f"The build ended with a defect ({error!r:.300}); {folder / LOG} has its trace."
    outcome["seconds"] = round(time.perf_counter() - started, 1)
    return outcome


def _of_another_version(document: Mapping[str, Any]) -> Outcome:
    machine = platform.node()
    reason = f"{machine} has another version of submodel; install one version on all machines."
    return {"fingerprint": str(document.get("fingerprint", "")), "machine": machine, "reason": reason, "seconds": 0.0}


def _build(task: Task, folder: Path) -> str:
    """Build, and return the fingerprint of what was built."""
    import torch

    from builder.bases.resolve import resolve_base
    from contract.processor import limited_threads
    from submodel.build.pipeline import run_build
    from submodel.console import StageDisplay

    torch.set_num_threads(task.cores)  # other numbers of threads add in another order
    os.environ["RAYON_NUM_THREADS"] = str(task.cores)  # tokenizers reads it once, when it first encodes
    with limited_threads(task.cores), StageDisplay(as_json=True) as display:
        with display.stage("find the base") as advance:
            found = resolve_base(task.base, on_event=display.say, on_progress=advance).sha256
        if found != task.base_sha256:
            raise BuildError(f"{task.base} has other weights on {platform.node()}; use one base on all machines.")
        is_fetched = task.fingerprint.startswith(COMMIT)
        repository = folder / FETCHED / task.name if is_fetched else Path(task.source)
        fingerprint = task.fingerprint if is_fetched else fingerprint_of(repository)
        settings = replace(BuildPart(**task.build).settings(repository, folder / "build"), dtype=task.dtype)

        def build() -> None:
            with build_lock(folder):  # also while it fetches: an earlier try may still read what would be replaced
                try:
                    if is_fetched:
                        with display.stage("fetch the repository"):
                            fetch(task.source, fingerprint.removeprefix(COMMIT), repository)
                    run_build(settings, display)
                finally:
                    remove_tree(folder / FETCHED)  # the next try fetches it again

        # A process that lost its cluster lives on for a minute.
        when_free(build, display.say, LOCK_WAIT_S)
    return fingerprint


@contextmanager
def _log(path: Path) -> Iterator[None]:
    """Write to a file what the program says meanwhile."""
    from submodel.console import console

    with path.open("w", encoding="utf-8") as file:
        console.file = file
        try:
            yield
        finally:
            console.file = None  # type: ignore[assignment]  # whatever sys.stderr is by then


def describe(task: Task) -> dict[str, Any]:
    """The document that `build_repository` takes."""
    return asdict(task)

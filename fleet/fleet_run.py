"""`submodel-fleet build`: builds many repositories, each once. What has not changed is kept, and a failure is a row."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec

from builder.bases.resolve import AUTO, SECOND_CHOICE, ResolvedBase, resolve_base
from builder.number_format import fastest_dtype
from builder.versions import PROGRAM
from contract.errors import BaseModelError, SubmodelError
from contract.files.disk_calls import remove_tree
from contract.files.seals import seal_key
from contract.files.whole_files import write_json, write_text
from fleet.cluster import LOCAL, build_on_cluster
from fleet.fleet_file import Repository, read_fleet_file
from fleet.identity import key_of, look_at, remote_of, this_program
from fleet.layout import INDEX, PAGE, Outcome
from fleet.pace import FleetPace, counts_line, row_line
from fleet.page import render_fleet
from fleet.results import SCHEMA, STATES, Row, publish, read_result
from fleet.task import Task
from submodel.build.lock import LockedError, build_lock
from submodel.build.paths import make_folder, prepare_output
from submodel.console import StageDisplay

WORK: Final = ".work"
LOOKERS: Final = 8  # threads that read folders and ask servers for commits
INDEX_EVERY_S: Final = 60.0  # while builds end: an index that is read meanwhile is not old


@dataclass(frozen=True, kw_only=True)
class FleetSettings:
    """One run, as the command line states it."""

    file: Path
    output: Path
    ray: str = LOCAL  # the address of a cluster


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A repository as it is now."""

    repository: Repository
    key: str
    fingerprint: str
    remote: str | None


class Fleet:
    """One run of the repositories of a file."""

    def __init__(self, settings: FleetSettings, repositories: Sequence[Repository], display: StageDisplay) -> None:
        self._settings = settings
        self._display = display
        self._repositories = {one.name: one for one in repositories}
        self._output = settings.output.absolute()
        self._work = self._output / WORK
        self._seal = seal_key()
        self._started_s = time.monotonic()
        self._rows: dict[str, Row] = {}
        self._not_found: dict[str, str] = {}  # why, by the name of a base that can't be found

    def run(self) -> dict[str, Any]:
        """Build what has changed; returns the index, which `--json` prints."""
        bases = self._find_bases()
        known = list(self._look(bases))
        changed = {one.repository.name: one for one in known if not self._is_kept(one)}
        self._display.say(f"{len(self._rows):,} repositories: {counts_line(list(self._rows.values()))}")
        try:
            if changed:
                self._build(changed, bases)
        finally:
            document = self._write()
        return document

    def _find_bases(self) -> dict[str, ResolvedBase]:
        """The bases that the file names, by that name; a base is found once, before any machine builds with it.

        One that can't be found fails the repositories that name it. So does the second choice of "auto": a night
        without the hub must not build all models on another base.
        """
        found = {}
        with self._display.stage("find the bases") as advance:
            for spec in dict.fromkeys(one.build.base for one in self._repositories.values()):
                try:
                    base = resolve_base(spec, on_event=self._display.say, on_progress=advance)
                    if spec == AUTO and base.why.startswith(SECOND_CHOICE):
                        raise BaseModelError(
                            f'base = "{AUTO}" would give all repositories {base.name}: {base.why.rstrip(".")}. To take '
                            f'it, write base = "{base.name}" in [build].'
                        )
                except SubmodelError as error:
                    self._not_found[spec] = str(error)
                    self._display.say(f"The repositories with the base {spec} fail: {error}")
                    continue
                found[spec] = base
        return found

    def _look(self, bases: Mapping[str, ResolvedBase]) -> Iterator[_Known]:
        """What each repository is now; one that can't be read, or has no base, becomes a row that failed."""
        with self._display.stage("look at the repositories") as advance, ThreadPoolExecutor(LOOKERS) as pool:
            looked = zip(self._repositories.values(), pool.map(_look_or_fail, self._repositories.values()), strict=True)
            for number, (repository, found) in enumerate(looked, start=1):
                row: Row = {"name": repository.name, "source": repository.source, "state": "waiting"}
                if (result := read_result(self._output, repository.name, self._seal)) is not None:
                    row["result"] = result
                self._rows[repository.name] = row
                advance(number, len(self._repositories))
                if isinstance(found, SubmodelError):
                    self._fail(row, str(found))
                    self._display.say(f"{row['name']}: failed. {row['reason']}")
                    continue
                if repository.build.base in self._not_found:
                    self._fail(row, self._not_found[repository.build.base])
                    continue
                fingerprint, remote = found
                key = key_of(repository, fingerprint, bases[repository.build.base].identity)
                yield _Known(repository=repository, key=key, fingerprint=fingerprint, remote=remote)

    def _is_kept(self, known: _Known) -> bool:
        row = self._rows[known.repository.name]
        if "result" not in row or row["result"]["key"] != known.key:
            return False
        row["state"] = "kept"
        return True

    def _build(self, changed: Mapping[str, _Known], bases: Mapping[str, ResolvedBase]) -> None:
        pace = FleetPace(len(changed))
        due_s = time.monotonic() + INDEX_EVERY_S
        tasks = {name: (self._task(one, bases), one.repository.task) for name, one in changed.items()}
        with self._display.stage("build") as advance:
            for name, outcome in build_on_cluster(tasks, address=self._settings.ray, on_event=self._display.say):
                self._end(changed[name], outcome, bases)
                pace.done += 1
                advance(pace.done, len(changed))
                self._display.say(row_line(self._rows[name], pace))
                if time.monotonic() > due_s:
                    self._write()
                    due_s = time.monotonic() + INDEX_EVERY_S

    def _task(self, known: _Known, bases: Mapping[str, ResolvedBase]) -> Task:
        repository = known.repository
        base = bases[repository.build.base]
        # "auto" may mean another base on another machine.
        spec = base.name if repository.build.base == AUTO else repository.build.base
        return Task(
            name=repository.name,
            source=repository.source,
            fingerprint=known.fingerprint,
            base=spec,
            base_sha256=base.sha256,
            build=msgspec.structs.asdict(msgspec.structs.replace(repository.build, base=spec)),
            work=str(self._work),
            program=this_program(),
            cores=repository.task.cores,
            gpus=repository.task.gpus,
            dtype=self._dtype,
            time_limit_s=repository.task.time_limit_minutes * 60,
        )

    @cached_property
    def _dtype(self) -> str:
        return str(fastest_dtype()).removeprefix("torch.")

    def _end(self, known: _Known, outcome: Outcome, bases: Mapping[str, ResolvedBase]) -> None:
        repository, row = known.repository, self._rows[known.repository.name]
        if "reason" in outcome:
            self._fail(row, outcome["reason"])
            return
        fingerprint, key = outcome["fingerprint"], known.key
        if fingerprint != known.fingerprint:  # it changed before its task began
            key = key_of(repository, fingerprint, bases[repository.build.base].identity)
        facts = {
            "key": key,
            "fingerprint": fingerprint,
            "remote": known.remote,
            "machine": outcome["machine"],
            "seconds": outcome["seconds"],
        }
        try:
            build = self._work / repository.name / "build"
            row["result"] = publish(self._output, repository.name, build, facts, self._seal)
            row["state"] = "built"
        except SubmodelError as error:
            self._fail(row, str(error))

    @staticmethod
    def _fail(row: Row, reason: str) -> None:
        row["state"], row["reason"] = "failed", " ".join(reason.split())

    def _write(self) -> dict[str, Any]:
        rows = list(self._rows.values())
        counts = Counter(row["state"] for row in rows)
        document = {
            "schema": SCHEMA,
            "program": PROGRAM,
            "seconds": round(time.monotonic() - self._started_s, 1),
            "counts": {state: counts[state] for state in STATES},
            "repositories": rows,
        }
        write_json(self._output / INDEX, document)
        write_text(self._output / PAGE, render_fleet(document, title=self._settings.file.stem))
        return document


def run_fleet(settings: FleetSettings, display: StageDisplay) -> dict[str, Any]:
    """Build what has changed; returns the index. Raises SubmodelError if no build can begin, not for one that fails."""
    repositories = read_fleet_file(settings.file)
    with display.stage("check the output"):  # of many repositories it takes minutes
        prepare_output(settings.output)
    make_folder(settings.output / WORK)
    with build_lock(settings.output / WORK):
        _remove_work(settings.output / WORK, {one.name.casefold() for one in repositories})
        return Fleet(settings, repositories, display).run()


def _remove_work(work: Path, names: Set[str]) -> None:
    """Remove the unfinished builds of repositories that have left the file; `names` are those in it, casefolded."""
    for folder in [path for path in work.iterdir() if path.is_dir() and path.name.casefold() not in names]:
        with suppress(LockedError):
            with build_lock(folder):
                pass  # no process that lost its cluster writes there any more
            remove_tree(folder)


def is_complete(document: Mapping[str, Any]) -> bool:
    """Whether every repository has the bundle of what it is now."""
    return not document["counts"]["failed"] and not document["counts"]["waiting"]


def _look_or_fail(repository: Repository) -> tuple[str, str | None] | SubmodelError:
    """Its fingerprint, and the address that it has as a remote."""
    try:
        return look_at(repository), remote_of(repository)
    except SubmodelError as error:
        return error

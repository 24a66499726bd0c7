"""The file that `submodel-fleet build` reads: repositories and settings, in TOML, checked before anything runs.

    repositories = ["../billing", "https://git.example.com/team/payments.git", {source = "../search", build = {minutes = 10}}]

    [build]             # as the options of `submodel build`
    minutes = 4.5
    [task]              # what each build gets
    cores = 2

A repository's own `build` and `task` go before those of the file.
"""  # noqa: E501 - a line that a reader can copy

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, TypeVar

import msgspec

from builder.bases.catalogue import CATALOGUE
from builder.bases.resolve import AUTO, is_hub_id
from builder.evaluation.held_out import ScoringSettings
from builder.finetuning.finetune_settings import FinetuneSettings
from builder.pruning.plan import SizeSettings
from contract.errors import BuildError, SubmodelError, first_line
from contract.files.file_names import DEVICES
from contract.files.home import expand_home
from contract.files.untrusted_json import read_bytes
from fleet.git_source import check_address, check_ref, is_address
from fleet.layout import INDEX, PAGE
from submodel.build.build_settings import BuildSettings
from submodel.build.lock import LOCK, OWNER

MAX_BYTES: Final = 64 << 20  # 100,000 repositories with settings of their own have less
MIN_GPUS: Final = 0.0001  # the least part of one that Ray counts
OWN_FILES: Final = (INDEX, PAGE, LOCK, OWNER)  # beside the folders of results or of work
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_Part = TypeVar("_Part")


class FleetFileError(BuildError):
    """The file can't be read, or something in it is not as it should be."""


class BuildPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a repository is built: as the options of `submodel build`, with the same defaults."""

    base: str = AUTO
    size: float = SizeSettings.size
    minutes: float = FinetuneSettings.minutes
    steps: Annotated[int, msgspec.Meta(ge=1)] | None = None  # not a command's: a fleet's models can be made again
    quantize: str = BuildSettings.quantize
    positions: Annotated[int, msgspec.Meta(ge=0)] = ScoringSettings.positions
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0

    def settings(self, repository: Path, output: Path) -> BuildSettings:
        """The settings of one build; raises SubmodelError if one of them is not possible."""
        return BuildSettings(
            repository=repository,
            output=output,
            base=self.base,
            size=self.size,
            minutes=self.minutes,
            steps=self.steps,
            quantize=self.quantize,
            positions=self.positions,
            seed=self.seed,
        )


class TaskPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a build gets of a machine. Ray starts it where so much is free."""

    cores: Annotated[int, msgspec.Meta(ge=1)] = 2  # as many as the times in docs/results.md were measured with
    memory_gb: Annotated[float, msgspec.Meta(gt=0)] | None = None  # None: Ray does not count memory
    gpus: Annotated[float, msgspec.Meta(ge=0)] = 0
    time_limit_minutes: Annotated[float, msgspec.Meta(gt=0)] = 120.0  # ten times a default build on two cores

    def __post_init__(self) -> None:
        """Raise ValueError unless Ray takes so many GPUs."""
        if not (float(self.gpus).is_integer() or MIN_GPUS <= self.gpus <= 1):
            raise ValueError(
                f"gpus is {self.gpus:g}, but must be a whole number, or a part of one from {MIN_GPUS:g} on"
            )


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    source: str
    ref: str = "HEAD"
    name: str | None = None
    build: dict[str, Any] = {}
    task: dict[str, Any] = {}


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    repositories: Annotated[list[str | _Entry], msgspec.Meta(min_length=1)]
    build: dict[str, Any] = {}
    task: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One repository of a fleet."""

    name: str  # of its folder of results: safe on every system, and no other of the fleet has it
    source: str  # an address for git, or the whole path of a folder
    ref: str  # of an address: a branch, a tag, a commit or HEAD
    build: BuildPart
    task: TaskPart

    @property
    def is_remote(self) -> bool:
        """Whether git fetches it."""
        return is_address(self.source)


def read_fleet_file(path: Path) -> tuple[Repository, ...]:
    """The repositories in the file's order, with their settings; raises FleetFileError naming the line or the key.

    Folders and models are named relative to the file's folder.
    """
    try:
        document = tomllib.loads(read_bytes(path, MAX_BYTES).decode("utf-8"))
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise FleetFileError(f"{path} can't be read as TOML: {_reason(error)}.") from error
    folder = path.absolute().parent
    whole = _convert(document, _File, f"{path}")
    _convert(whole.build, BuildPart, f"{path}, [build]")  # to find an error where it stands
    _convert(whole.task, TaskPart, f"{path}, [task]")
    read = [
        _repository(entry, whole, folder, f"{path}, repositories[{number}]")
        for number, entry in enumerate(whole.repositories)
    ]
    _check_names(read, path)
    return tuple(read)


def _repository(given: str | _Entry, whole: _File, folder: Path, where: str) -> Repository:
    entry = given if isinstance(given, _Entry) else _Entry(source=given)
    build = _convert({**whole.build, **entry.build}, BuildPart, f"{where}.build")
    build = msgspec.structs.replace(build, base=_absolute_base(build.base, folder))
    task = _convert({**whole.task, **entry.task}, TaskPart, f"{where}.task")
    try:
        if is_address(entry.source):
            check_address(entry.source)
            check_ref(entry.ref)
            source = entry.source
        else:
            source = str(Path(os.path.abspath(folder / expand_home(Path(entry.source)))))  # noqa: PTH100 - keeps links
            if entry.ref != "HEAD":
                raise FleetFileError("a folder is built as it lies there; leave out ref, or give an address for git")
        build.settings(Path(source), Path())  # raises what `submodel build` would
        name = entry.name or _name_of(entry.source if is_address(entry.source) else source)
        if not is_name(name):
            raise FleetFileError(
                f"{name!r} can't be a folder's name on every system, or is the name of one of the fleet's own files; "
                "give another name, of letters, digits, '.', '_' and '-'"
            )
    except SubmodelError as error:
        raise FleetFileError(f"{where}: {str(error).rstrip('.')}.") from error
    return Repository(name=name, source=source, ref=entry.ref, build=build, task=task)


def is_name(name: str) -> bool:
    """Whether a name is that of one folder on every system, and of no file of ours."""
    is_taken = name.partition(".")[0].upper() in DEVICES or name.lower() in OWN_FILES
    return _NAME.fullmatch(name) is not None and not (name.endswith(".") or is_taken)


def _name_of(source: str) -> str:
    """The last part of a path or an address, with `-` for what a folder's name may not hold."""
    last = PurePosixPath(source.replace("\\", "/").replace(":", "/").rstrip("/")).name.removesuffix(".git")
    return re.sub(r"[^A-Za-z0-9._-]", "-", last).lstrip("._-")[:100].rstrip(".")


def _check_names(read: list[Repository], path: Path) -> None:
    """Raise if two repositories would share a folder; systems that know no cases are among those that read it."""
    counted = Counter(one.name.casefold() for one in read)
    twice = [one for one in read if counted[one.name.casefold()] > 1]
    if twice:
        others = [one.source for one in twice if one.name.casefold() == twice[0].name.casefold()]
        more = f" (and {len(twice) - len(others)} others are shared)" if len(twice) > len(others) else ""
        raise FleetFileError(
            f"{path}: {' and '.join(others[:2])} are both called {twice[0].name}{more}; give one of them a name, as in "
            '{source = "…", name = "…"}.'
        )


def _absolute_base(spec: str, folder: Path) -> str:
    """A folder or file by its whole path, as the file names it; other names as they are (`resolve_base`)."""
    is_named = spec == AUTO or spec in CATALOGUE or is_hub_id(spec)
    return spec if is_named else str((folder / expand_home(Path(spec))).resolve())


def _convert(document: Mapping[str, Any], kind: type[_Part], where: str) -> _Part:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise FleetFileError(f"{where}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """What a library says, with the key as the file writes it: msgspec's `$.repositories[3]` is `repositories[3]`."""
    return first_line(error).replace(" - at `$.", " - at `").replace(" - at `$`", "")

"""How far a repository has changed since the build that serves it, by the hashes in its bundle's manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.bundle.bundle import WORKSPACE_BUNDLE, is_bundle_of
from contract.bundle.pulled_builds import PulledFrom
from contract.children import shell_line
from contract.documents import DriftFacts
from contract.errors import CorpusError
from contract.files.untrusted_json import read_json
from contract.versions import PROGRAM

# A larger workspace is not read, since nobody asked for that. git lists a million files within seconds. A walk takes
# far longer. The largest repositories have some 100,000 files, those of whole companies more.
MAX_ENTRIES, MAX_BY_GIT, MAX_SECONDS = 200_000, 1_000_000, 120.0
MAX_REST_S = MAX_SECONDS / 2  # that a reading stands still while somebody types
# Of the files, or as many files: what a user then writes often touches code that the model has not seen.
STALE_SHARE, STALE_FILES = 0.2, 50
STALE_SHARE_OF_MANY = 0.05  # of the files of a repository with more than 1,000: fifty are a day's work there


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How many files the repository has now, and how they differ from what the build has read."""

    files: int
    changed: int
    added: int
    removed: int
    can_update: bool = False  # as the function of that name says
    pulled: PulledFrom | None = None  # where the bundle came from if it was pulled

    @property
    def share(self) -> float:
        """Share of changed and new files."""
        return (self.changed + self.added) / self.files if self.files else 0.0

    @property
    def is_stale(self) -> bool:
        """Whether an update or a new build is worth its time."""
        enough = max(STALE_FILES, STALE_SHARE_OF_MANY * self.files)
        return self.share >= STALE_SHARE or self.changed + self.added >= enough

    def command(self, repository: Path | None) -> str:
        """What to run against it: an update, a pull, or else a build. None is the folder that it is run in."""
        if not self.can_update and self.pulled is not None:
            return shell_line(self.pulled.command(repository))
        where = () if repository is None else (str(repository),)
        return shell_line(("submodel", "update" if self.can_update else "build", *where))

    def to_json(self, repository: Path) -> DriftFacts:
        """Return the drift as it stands in the status."""
        return {
            "files": self.files,
            "changed": self.changed,
            "added": self.added,
            "removed": self.removed,
            "share": round(self.share, 4),
            "isStale": self.is_stale,
            "command": self.command(repository),
        }


def can_update(repository: Path, manifest: Mapping[str, Any], *, may_be_newer: bool = False) -> bool:
    """Return whether `submodel update` can start from the build that made the bundle with this manifest.

    It needs the sub-model and its history beside the bundle. A bundle that was unpacked or pulled has none, or those of
    an earlier build, and that of a language has no history. It also refuses what another PROGRAM built. may_be_newer:
    what runs `update` may be newer than this process, as where submodel was upgraded since a server started. An update
    that was stopped before its model took the old one's place has left both under other names, and the next one
    finishes it.
    """
    folder = repository / WORKSPACE_BUNDLE.parts[0]
    places = (("history.json", "model"), ("next-history.json", "next"))
    return any(
        _is_of_program(folder / "stages" / history, may_be_newer) and is_bundle_of(manifest, folder / model)
        for history, model in places
    )


def _is_of_program(path: Path, may_be_newer: bool) -> bool:
    try:
        history = read_json(path)
    except (OSError, ValueError):
        return False
    program = history.get("program") if isinstance(history, dict) else None
    return program == PROGRAM or (may_be_newer and isinstance(program, str) and _numbers(program) > _numbers(PROGRAM))


def _numbers(program: str) -> tuple[int, ...]:
    """The numbers of a version such as 22.12; none of what is no version."""
    return tuple(map(int, program.split("."))) if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", program) else ()


def measure_drift(hashes: Iterable[str], manifest: Mapping[str, Any]) -> Drift | None:
    """Compare the SHA-256 of the repository's texts with those in a bundle's manifest; return None if it has none.

    The manifest has no paths: a new file and a missing one together count as one changed file. Texts that an update has
    seen without getting better are known too: another update would do no more.
    """
    known = {*manifest.get("held_out_sha256", ()), *manifest.get("learned_sha256", ())}
    if not known:
        return None
    now = list(hashes)
    since = [one for one in now if one not in known]
    seen = set(manifest.get("seen_sha256", ()))
    fresh = sum(one not in seen for one in since)
    gone = max(len(known - set(now)) - (len(since) - fresh), 0)
    changed = min(fresh, gone)
    return Drift(files=len(now), changed=changed, added=fresh - changed, removed=gone - changed)


def check_whole(root: Path, skipped: object) -> None:
    """Raise CorpusError if files were left out over a limit; `skipped` has the files that were, by reason.

    Such a limit cuts at another place once a folder is gone or a sparse checkout changes. Files that nobody has touched
    then come or go, so texts do not tell how far the repository has changed.
    """
    from contract.repository.texts import CUT_REASONS  # here as below

    if isinstance(skipped, dict) and any(skipped.get(reason) for reason in CUT_REASONS):
        raise CorpusError(
            f"{root} has more files than a build reads, and which ones it reads depends on all of them. So changes are "
            "not counted; build a folder of it instead."
        )


def read_current_hashes(root: Path, rest: Callable[[], None] = lambda: None, *, is_git_s: bool = False) -> list[str]:
    """Return the SHA-256 of the texts that a build of the repository would read. rest: called after some files each.

    is_git_s: git listed the files of the build. If it can't now, what it ignores would count as new. Raises CorpusError
    then, and if it can't be read, holds the home folder and is no repository of git, has too many files, takes
    too long, or has more than a build reads (`check_whole`).
    """
    # Imported here: it loads numpy, and the answer to `initialize` need not wait for that.
    from contract.repository.listing import why_not_git
    from contract.repository.texts import ReadingSettings, check_no_home, read_hashes

    check_no_home(root)
    settings = ReadingSettings(max_entries=MAX_ENTRIES, max_by_git=MAX_BY_GIT, max_seconds=MAX_SECONDS + MAX_REST_S)
    reading = read_hashes(root, settings, on_progress=lambda done, total: rest())
    check_whole(root, reading.skipped)
    why = why_not_git(reading.listed_by, reading.git_problem)
    if is_git_s and why is not None:
        raise CorpusError(f"git does not list the files of {root} ({why}), as it did for the build.")
    return [sha256 for _, sha256 in reading.texts.values()]

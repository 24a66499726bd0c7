"""How far a repository has gone from the build of its bundle: by the texts that the build has read, file by file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.documents import DriftFacts
from contract.errors import CorpusError
from contract.files.home import holds_home

# A workspace with more, which nobody asked to read, is not read. The largest repositories have some 100,000 files.
MAX_ENTRIES, MAX_SECONDS = 200_000, 120.0
STALE_SHARE = 0.2  # of the files; by then most of what is written touches code that the model has not seen


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Files now, and how many of them the build has not read as they are."""

    files: int
    changed: int
    added: int
    removed: int

    @property
    def share(self) -> float:
        """Changed and new files of all."""
        return (self.changed + self.added) / self.files if self.files else 0.0

    @property
    def is_stale(self) -> bool:
        """Whether a new build is worth its time."""
        return self.share >= STALE_SHARE

    def to_json(self, repository: Path) -> DriftFacts:
        """As it stands in the status."""
        return {
            "files": self.files,
            "changed": self.changed,
            "added": self.added,
            "removed": self.removed,
            "share": round(self.share, 4),
            "isStale": self.is_stale,
            "command": f"submodel build {repository}",
        }


def measure_drift(texts: Iterable[str], manifest: Mapping[str, Any]) -> Drift | None:
    """Compare the repository's texts with the hashes in a bundle's manifest; None where the build has left none.

    A build keeps no paths: as many files as are both new and gone count as changed.
    """
    known = {*manifest.get("held_out_sha256", ()), *manifest.get("learned_sha256", ())}
    if not known:
        return None
    now = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    fresh = sum(one not in known for one in now)
    gone = len(known - set(now))
    changed = min(fresh, gone)
    return Drift(files=len(now), changed=changed, added=fresh - changed, removed=gone - changed)


def read_current_texts(root: Path) -> list[str]:
    """Return the texts that a build of the repository would read.

    Raises CorpusError if it can't be read, holds the home folder, has too many files or takes too long.
    """
    if holds_home(root):
        raise CorpusError(f"{root} is the home folder or holds it, so it is not read as a repository; open one in it.")
    # Here and not above: it loads numpy, which answering `initialize` need not wait for.
    from contract.repository.texts import ReadingSettings, read_texts

    settings = ReadingSettings(max_entries=MAX_ENTRIES, max_seconds=MAX_SECONDS)
    return [text for _, text in read_texts(root, settings).values()]

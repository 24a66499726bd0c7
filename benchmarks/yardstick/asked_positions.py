"""Positions of a repository: the rest of lines in files that a build held out, and of lines that later commits added.

Each is a cold place: no rival saw the file before. Half of the held-out positions begin within the line. Later lines
are asked as one writes: at a line of each run of added lines, with the run's later lines not there yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.yardstick.yardstick_plan import Repository
from builder.corpus.corpus import read_corpus
from contract.bundle.bundle import read_bundle
from contract.repository.git import run_git
from laboratory.bench.bench_run import check_unlearned
from laboratory.bench.workload import Keystroke, WorkloadSettings, hash_strokes, make_workload

HELD_OUT, LATER = "held-out", "later"
HASH_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Position:
    """One place, the truth, and whether its line stands nowhere in the files that the build learned."""

    repository: str
    kind: str  # HELD_OUT or LATER
    stroke: Keystroke
    is_new: bool

    @property
    def hash(self) -> str:
        """The first digits of the SHA-256 over the text before the cursor, the text behind it, and the truth."""
        return hash_strokes([self.stroke])[:HASH_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """As results keep it."""
        return {
            "position": self.hash,
            "repository": self.repository,
            "kind": self.kind,
            "path": self.stroke.path,
            "cluster": self.stroke.cluster,
            "is_new": self.is_new,
            "truth": self.stroke.truth,
        }


def draw_positions(repository: Repository, count: int) -> list[Position]:
    """Return so many positions of each kind; later ones go from the oldest commit to the newest.

    Raises SubmodelError if a bundle has learned what is asked. Exits if the own bundle was not built of the checkout.
    """
    manifest = read_bundle(repository.own, verify=False).manifest
    held_out = manifest.get("held_out_sha256", ())
    known = known_lines(repository.built, manifest.get("learned_sha256", ()))
    if not known:
        raise SystemExit(f"{repository.own} learned no file of {repository.built}; name the checkout of its build.")
    drawn = []
    for kind, folder, since in ((HELD_OUT, repository.built, None), (LATER, repository.clone, repository.since)):
        settings = WorkloadSettings(passages=count, lines=1, keys=1, since=since)
        workload = make_workload(folder, settings, held_out)
        check_unlearned(repository.bundles, workload, since)
        strokes = workload.strokes if since is None else in_order(workload.strokes, folder, since)
        drawn += [
            Position(repository=repository.name, kind=kind, stroke=stroke, is_new=line_of(stroke) not in known)
            for stroke in strokes
        ]
    return drawn


def known_lines(built: Path, learned_sha256: Sequence[str]) -> set[str]:
    """Return the lines of all code files that the build learned, without the blanks around them."""
    learned = frozenset(learned_sha256)
    files = [file for file in read_corpus(built).files if file.is_code and file.sha256 in learned]
    return {line.strip() for file in files for line in file.text.split("\n")}


def line_of(stroke: Keystroke) -> str:
    """Return the whole line that is asked for, likewise."""
    return f"{stroke.before}{stroke.truth}".rpartition("\n")[2].strip()


def in_order(strokes: Sequence[Keystroke], clone: Path, since: str) -> list[Keystroke]:
    """Return them from the oldest commit to the newest, as a repository's recent snippets move on."""
    listed = run_git(clone, "rev-list", "--no-merges", "HEAD", f"^{since}").decode("ascii").split()
    ages = {commit: number for number, commit in enumerate(listed)}
    return sorted(strokes, key=lambda stroke: -ages.get(stroke.commit, 0))

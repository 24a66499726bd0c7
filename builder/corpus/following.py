"""The split of a repository that was split before: what was held out stays held out for as long as it exists.

A file is known by its text, else by the file that git says it was renamed from, else by its path. A known file keeps
its split, so that the figures of successive models compare and no model is measured on what an earlier one learned. A
new file is split by the hash of its text, as in a first build, and near-copies of learned files are learned from.

Files change, and code moves between them. A file that has become a near-copy of a held-out one is set aside: nothing is
learned from it. If it was learned from already, the held-out file is set aside in its place: nothing is scored on it.

Without git, a file that was both renamed and changed since is a new file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from builder.corpus.corpus import Corpus, SourceFile
from builder.corpus.duplicates import EVERY_FILE, evidence_lines, find_near_files
from builder.corpus.split import Candidate, Split, move_near_copies

Place = Literal["calibration", "validation", "held-out", "aside"]
LEARNED = ("calibration", "validation")


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """What an earlier build or update did with a file."""

    sha256: str  # of its text
    place: Place


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A corpus whose splits follow earlier ones.

    `fresh` are the paths whose texts no earlier build or update has seen. `known` covers every file that ever was, so
    that one which comes back (another branch, say) is known still.
    """

    corpus: Corpus
    fresh: frozenset[str]
    known: Mapping[str, KnownFile]
    set_aside: int  # files that are neither learned from nor scored

    @property
    def fresh_to_learn(self) -> tuple[SourceFile, ...]:
        """Code that no earlier build or update has learned from."""
        return tuple(file for file in self.corpus.learned if file.path in self.fresh and file.is_code)


def know(corpus: Corpus) -> dict[str, KnownFile]:
    """What the first build of a corpus did with each of its files."""
    return {file.path: KnownFile(sha256=file.sha256, place=file.split) for file in corpus.files}


def follow(corpus: Corpus, known: Mapping[str, KnownFile], renames: Mapping[str, str]) -> Followed:
    """Give the files of `corpus` (as read, with splits of its own) the splits that follow from `known`.

    renames: new path → old path.
    """
    by_text = _places_by_text(known)
    splits: list[Split] = []
    is_known: list[bool] = []
    for file in corpus.files:
        place = by_text.get(file.sha256) or _place_by_path(file.path, known, renames)
        is_known.append(place is not None)
        splits.append(_split_of(place, file))
    near = find_near_files([evidence_lines(file.text, file.language) for file in corpus.files])
    move_near_copies(splits, near, fixed=frozenset(index for index, fixed in enumerate(is_known) if fixed))
    fresh = [file.sha256 not in by_text or by_text[file.sha256] == "aside" for file in corpus.files]
    places: list[Place] = list(splits)
    for index, split in enumerate(splits):
        for other in near[index] - {EVERY_FILE} if split == "held-out" else ():
            if splits[other] in LEARNED:
                places[other if fresh[other] else index] = "aside"
    files = [
        replace(file, split=place) for file, place in zip(corpus.files, places, strict=True)
        if place != "aside"
    ]  # fmt: skip
    return Followed(
        corpus=replace(corpus, files=tuple(files)),
        fresh=frozenset(file.path for file, is_fresh in zip(corpus.files, fresh, strict=True) if is_fresh),
        known={**known, **_now(corpus.files, splits, places)},
        set_aside=places.count("aside"),
    )


def _places_by_text(known: Mapping[str, KnownFile]) -> dict[str, Place]:
    """Of a text that was in two places over time, the one that is safest to keep: held out, then learned."""
    order: Sequence[Place] = ("aside", "calibration", "validation", "held-out")
    return {one.sha256: one.place for one in sorted(known.values(), key=lambda one: order.index(one.place))}


def _place_by_path(path: str, known: Mapping[str, KnownFile], renames: Mapping[str, str]) -> Place | None:
    before = known.get(renames.get(path, path)) or known.get(path)
    return before.place if before else None


def _split_of(place: Place | None, file: SourceFile) -> Split:
    if place is None:
        return Candidate(text=file.text, language=file.language, sha256=file.sha256).split_by_hash
    return "calibration" if place == "aside" else place


def _now(files: Sequence[SourceFile], splits: Sequence[Split], places: Sequence[Place]) -> dict[str, KnownFile]:
    """A held-out file that is not scored now stays held out; a learned one that is set aside may be learned later."""
    return {
        file.path: KnownFile(sha256=file.sha256, place=place if split in LEARNED else split)
        for file, split, place in zip(files, splits, places, strict=True)
    }

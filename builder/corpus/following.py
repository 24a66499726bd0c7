"""The split of a repository that was split before: what was held out stays held out for as long as it exists.

A file is known by its text, else by the file that git says it was renamed from, else by its path. A known file keeps
its split, so that the figures of successive models compare and no model is measured on what an earlier one learned. A
new file is split by the hash of its text, as in a first build, and near-copies of learned files are learned from. A
validation file is learned from once a file that is learned from has become like it.

Files change, and code moves between them. A new file that has most of its lines from a held-out file is held out. New
files are compared with the old texts of files that changed or went, too, if git has them. A file that has become a
near-copy of a held-out one is set aside: nothing is learned from it. If it was learned from already, the held-out file
is set aside in its place: nothing is scored on it.

Without git, a file that was both renamed and changed since is a new file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from builder.corpus.corpus import Corpus, SourceFile
from builder.corpus.duplicates import EVERY_FILE, evidence_lines, find_near_files
from builder.corpus.split import Split, SplitCandidate, move_near_copies

Place = Literal["calibration", "validation", "held-out", "aside"]
PLACES: tuple[Place, ...] = get_args(Place)
LEARNED = ("calibration", "validation")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What earlier builds and updates did with every file and every text that ever was.

    All of them, so that a file which comes back (another branch, say) and code which moves to another file are known.
    """

    paths: Mapping[str, Place]  # by path, as it was last
    texts: Mapping[str, Place]  # by the SHA-256 of a text

    def without(self, files: Iterable[SourceFile], earlier: Known) -> Known:
        """What is known if these files were not learned from after all; a new one is new still."""
        unread = tuple(files)
        return Known(
            paths=_as_before(self.paths, {file.path for file in unread}, earlier.paths),
            texts=_as_before(self.texts, {file.sha256 for file in unread}, earlier.texts),
        )

    def with_held_out(self, later: Known) -> Known:
        """What is known, and what was held out later."""
        return Known(
            paths={**self.paths, **{path: place for path, place in later.paths.items() if place == "held-out"}},
            texts={**self.texts, **{text: place for text, place in later.texts.items() if place == "held-out"}},
        )


def _as_before(now: Mapping[str, Place], keys: Collection[str], earlier: Mapping[str, Place]) -> dict[str, Place]:
    """Return `now` with the places of these keys as they were earlier, and without those that were not known."""
    return {
        **{key: place for key, place in now.items() if key not in keys},
        **{key: place for key, place in earlier.items() if key in keys},
    }


@dataclass(frozen=True, kw_only=True)
class PastText:
    """A file as it was learned from or held out, which has changed or is gone since."""

    language: str
    text: str
    split: Split


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A corpus whose splits follow earlier ones."""

    corpus: Corpus
    fresh: frozenset[str]  # paths whose texts were neither learned nor held out before
    known: Known
    set_aside: int  # files that are neither learned from nor scored

    @property
    def fresh_to_learn(self) -> tuple[SourceFile, ...]:
        """Code that no earlier build or update has learned from."""
        return tuple(file for file in self.corpus.learned if file.path in self.fresh and file.is_code)


def changed_since(corpus: Corpus, known: Known) -> list[str]:
    """The paths of files whose texts, as they were learned from or held out, are gone from the corpus."""
    now = {file.path: known.texts.get(file.sha256) for file in corpus.files}

    def is_there(path: str, place: Place) -> bool:
        return now.get(path) in (LEARNED if place in LEARNED else (place,))

    return [path for path, place in known.paths.items() if place != "aside" and not is_there(path, place)]


def know(corpus: Corpus) -> Known:
    """What the first build of a corpus did with each of its files."""
    return Known(
        paths={file.path: file.split for file in corpus.files},
        texts={file.sha256: file.split for file in corpus.files},
    )


def _by_hash(file: SourceFile) -> Split:
    return SplitCandidate(text=file.text, language=file.language, sha256=file.sha256).split_by_hash


def _move_near_copies(
    splits: list[Split], near: Sequence[frozenset[int]], is_known: Sequence[bool], count: int
) -> None:
    """Move files to calibration; known ones only from validation, where they are near files that are learned from.

    If that would leave none of the first `count` to validate on, known files stay where they are. The others are past
    texts.
    """
    known = frozenset(index for index, is_one in enumerate(is_known) if is_one)
    moved = list(splits)
    move_near_copies(moved, near, fixed=frozenset(index for index in known if splits[index] != "validation"))
    if "validation" in splits[:count] and "validation" not in moved[:count]:
        moved = list(splits)
        move_near_copies(moved, near, fixed=known)
    splits[:] = moved


def follow(
    corpus: Corpus,
    known: Known,
    renames: Mapping[str, str],
    past: Sequence[PastText] = (),
) -> Followed:
    """Give the files of `corpus` (as read, with splits of its own) the splits that follow from `known`.

    renames: new path → old path. past: texts that files had.
    """
    splits: list[Split] = []
    is_known: list[bool] = []
    for file in corpus.files:
        # A file that was learned before its renaming was committed is known by both names; what was learned counts.
        names = (file.path, renames.get(file.path, file.path))
        before = min((known.paths[name] for name in names if name in known.paths), key=PLACES.index, default=None)
        place = known.texts.get(file.sha256) or before
        is_known.append(place is not None)
        splits.append(_by_hash(file) if place is None else "calibration" if place == "aside" else place)
    count = len(corpus.files)
    texts = [(one.text, one.language) for part in (corpus.files, past) for one in part]
    near = find_near_files([evidence_lines(text, language) for text, language in texts])
    splits += [one.split for one in past]
    is_known += [True] * len(past)
    held_out = {index for index, split in enumerate(splits) if is_known[index] and split == "held-out"}
    for index in range(count):
        if not is_known[index] and near[index] & held_out:
            splits[index], is_known[index] = "held-out", True
    _move_near_copies(splits, near, is_known, count)
    fresh = [known.texts.get(file.sha256, "aside") == "aside" for file in corpus.files] + [False] * len(past)
    places: list[Place] = list(splits)
    for index, split in enumerate(splits):
        for other in near[index] - {EVERY_FILE} if split == "held-out" else ():
            if splits[other] in LEARNED:
                places[other if fresh[other] else index] = "aside"
    splits, fresh, places = splits[:count], fresh[:count], places[:count]
    placed = list(zip(corpus.files, places, strict=True))
    # A held-out file that is not scored now stays held out; what would be learned now may be learned later.
    kept: list[Place] = [split if split == "held-out" else place for split, place in zip(splits, places, strict=True)]
    return Followed(
        corpus=replace(corpus, files=tuple(replace(file, split=place) for file, place in placed if place != "aside")),
        fresh=frozenset(file.path for file, is_fresh in zip(corpus.files, fresh, strict=True) if is_fresh),
        known=Known(
            paths={**known.paths, **{file.path: place for file, place in zip(corpus.files, kept, strict=True)}},
            texts={**known.texts, **{file.sha256: place for file, place in zip(corpus.files, kept, strict=True)}},
        ),
        set_aside=places.count("aside"),
    )

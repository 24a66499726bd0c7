"""Which files the builder learns from and which it is measured on.

A file's split follows from the SHA-256 of its text, not from its path or its neighbours, so that it stays where it is
across builds: held-out 20 %, calibration 80 %. A tenth of the latter is named validation: hyper-parameters are chosen
on it, so that held-out files stay untouched. Only code is scored; documentation and configuration always calibrate.

Two things may overrule the hash, both decided by the texts alone. Near-copies of files that were learned from leave
held-out, and near-copies of calibration files leave validation. And where chance leaves a split of a small repository
almost empty or far too large, files move, near-copies together, until its share of the code's bytes is in bounds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from builder.corpus.duplicates import EVERY_FILE, evidence_lines, find_near_files
from contract.repository.languages import get_language

Split = Literal["calibration", "validation", "held-out"]
SPLITS: tuple[Split, ...] = ("calibration", "validation", "held-out")

HELD_OUT_SHARE = 0.20
VALIDATION_SHARE = 0.08  # of all: a tenth of calibration


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What share of the code's bytes a split may take; `group_share` is how large a group is gladly moved into it."""

    least_share: float
    most_share: float
    group_share: float


# Half of the intended share at least, and never so much that too little is left to learn from.
_BOUNDS: Mapping[Split, Bounds] = {
    "held-out": Bounds(least_share=0.10, most_share=0.40, group_share=0.25),
    "validation": Bounds(least_share=0.04, most_share=0.20, group_share=0.10),
}


@dataclass(frozen=True, kw_only=True)
class SplitCandidate:
    """What the split needs to know of a file."""

    text: str
    language: str
    sha256: str  # of the text, hex

    @property
    def is_code(self) -> bool:
        """Whether it may be scored at all."""
        return get_language(self.language).is_code

    @property
    def split_by_hash(self) -> Split:
        """Where it belongs as long as nothing overrules its hash."""
        return split_by_hash(self.sha256) if self.is_code else "calibration"


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """The split of each candidate, in their order, and how many near-copies were moved against their hash."""

    splits: tuple[Split, ...]
    near_duplicates_moved: int


def split_by_hash(sha256: str) -> Split:
    """The split that a code file's hash gives it."""
    place = int(sha256[:16], 16) / 2**64  # uniform in [0, 1)
    if place < HELD_OUT_SHARE:
        return "held-out"
    return "validation" if place < HELD_OUT_SHARE + VALIDATION_SHARE else "calibration"


def split_files(candidates: Sequence[SplitCandidate]) -> SplitResult:
    """Split files with distinct texts. The same set of files gives each the same split, in whatever order they come."""
    splits = [candidate.split_by_hash for candidate in candidates]
    return _settle(splits, candidates, ("held-out", "validation"))


def split_by_origin(candidates: Sequence[SplitCandidate], is_held_out: Sequence[bool]) -> SplitResult:
    """Hold out the files that come from elsewhere, near-copies of learned ones aside; a hash splits the others.

    So a model is measured on projects that it has never seen, not on other files of those that it has learned from.
    """
    splits: list[Split] = []
    for candidate, held_out in zip(candidates, is_held_out, strict=True):
        is_validation = candidate.split_by_hash == "validation"
        splits.append("held-out" if held_out else "validation" if is_validation else "calibration")
    return _settle(splits, candidates, ("validation",))


def _settle(splits: list[Split], candidates: Sequence[SplitCandidate], bounded: Sequence[Split]) -> SplitResult:
    """Move near-copies, then whatever keeps the `bounded` splits from their bounds."""
    near = find_near_files([evidence_lines(candidate.text, candidate.language) for candidate in candidates])
    moved = _move_near_copies(splits, near)
    files = _describe(candidates, near)
    for split in bounded:
        _shrink(splits, split, _BOUNDS[split], files)
        _fill(splits, split, _BOUNDS[split], files)
    return SplitResult(splits=tuple(splits), near_duplicates_moved=moved)


def _move_near_copies(splits: list[Split], near: Sequence[frozenset[int]]) -> int:
    """Move to calibration until no held-out file is near a learned one and no validation file near a calibration one.

    A moved file may pull others after it. The outcome does not depend on the order, since moves only ever add reasons.
    Returns how many were moved.
    """
    return len(_pull(splits, near, _pulled_by(near), range(len(splits))))


def _pulled_by(near: Sequence[frozenset[int]]) -> list[list[int]]:
    """The other direction of `near`: whom a file pulls."""
    near_to: list[list[int]] = [[] for _ in near]
    for index, others in enumerate(near):
        for other in others - {EVERY_FILE}:
            near_to[other].append(index)
    return near_to


def _pull(
    splits: list[Split],
    near: Sequence[frozenset[int]],
    near_to: Sequence[Sequence[int]],
    first: Iterable[int],
) -> list[tuple[int, Split]]:
    """Move those of `first` that are near learned files, and whom they pull; each with the split that it had."""
    moved: list[tuple[int, Split]] = []
    pending = deque(first)
    while pending:
        index = pending.popleft()
        if splits[index] == "calibration":
            continue
        pulling: set[Split] = {"calibration"} if splits[index] == "validation" else {"calibration", "validation"}
        if EVERY_FILE in near[index] or any(splits[other] in pulling for other in near[index] - {EVERY_FILE}):
            moved.append((index, splits[index]))
            splits[index] = "calibration"
            pending.extend(near_to[index])
    return moved


@dataclass(frozen=True, kw_only=True)
class _File:
    """What moving a file depends on."""

    size: int  # bytes of code
    sha256: str
    near: frozenset[int]
    may_be_scored: bool


def _describe(candidates: Sequence[SplitCandidate], near: Sequence[frozenset[int]]) -> list[_File]:
    return [
        _File(
            size=len(candidate.text.encode()) if candidate.is_code else 0,
            sha256=candidate.sha256,
            near=others,
            may_be_scored=candidate.is_code and EVERY_FILE not in others,
        )
        for candidate, others in zip(candidates, near, strict=True)
    ]


def _taken(splits: Sequence[Split], split: Split, files: Sequence[_File]) -> int:
    return sum(file.size for file, where in zip(files, splits, strict=True) if where == split)


def _shrink(splits: list[Split], split: Split, bounds: Bounds, files: Sequence[_File]) -> None:
    """Move the largest files of a split to calibration, and what is near them, until its share is in bounds."""
    most, taken = bounds.most_share * sum(file.size for file in files), _taken(splits, split, files)
    inside = [index for index, where in enumerate(splits) if where == split]
    near = [file.near for file in files]
    near_to = _pulled_by(near)
    for index in sorted(inside, key=lambda index: (files[index].size, files[index].sha256), reverse=True):
        if taken <= most:
            return
        if splits[index] == split:  # else it was pulled after a larger one
            splits[index] = "calibration"
            pulled = _pull(splits, near, near_to, near_to[index])
            taken -= sum(files[one].size for one, before in [(index, split), *pulled] if before == split)


def _fill(splits: list[Split], split: Split, bounds: Bounds, files: Sequence[_File]) -> None:
    """Move calibration files into a split, lowest hash first, until its share is in bounds or none is left to move.

    Whatever a moved file is near to moves with it. Small groups go first, since one large file would be half of a small
    repository.

    The walk to all that a file reaches stops early where the answer is known, or each file of a large group of
    near-copies would walk through all of it. What is known holds for every file from which the walk leads there.
    """
    code_bytes = sum(file.size for file in files)
    taken = _taken(splits, split, files)
    by_hash = sorted(range(len(files)), key=lambda index: files[index].sha256)
    near_to = _pulled_by([file.near for file in files])
    inside: set[int] = set()  # in the split, with all that they reach
    refused: set[int] = set()  # they reach what may not move, or more than the split may take: for good, as it grows
    for share in (bounds.group_share, bounds.most_share):
        too_large: set[int] = set()  # they reach more than this share, until a part of that moves without them
        for index in by_hash:
            if taken >= bounds.least_share * code_bytes:
                return
            group: set[int] = set()
            size = 0
            for member in _reach(index, files, inside):
                group.add(member)
                near = files[member].near
                size += files[member].size if splits[member] == "calibration" else 0
                may_move = files[member].may_be_scored and splits[member] in ("calibration", split)
                fits = taken + size <= bounds.most_share * code_bytes
                if not may_move or not fits or not refused.isdisjoint(near):
                    refused.add(index)
                    break
                if not too_large.isdisjoint(near):
                    too_large.add(index)
                    break
            else:
                if size > share * code_bytes:
                    too_large.add(index)
                    continue
                if size > 0:
                    if not all(group.issuperset(near_to[member]) for member in group):
                        too_large.clear()
                    for member in group:
                        splits[member] = split
                    taken += size
                if all(splits[member] == split for member in group):
                    inside |= group


def _reach(index: int, files: Sequence[_File], known: set[int]) -> Iterator[int]:
    """Yield a file, the files that it is near to, those that they are near to, and so on, but for the `known` ones."""
    reached = {index}
    pending = [index]
    while pending:
        one = pending.pop()
        yield one
        new = files[one].near - reached - known - {EVERY_FILE}
        reached |= new
        pending += new

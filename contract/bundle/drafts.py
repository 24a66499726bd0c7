"""The repository's own tokens, and where each short run of them stands: drafts for speculative decoding.

A bundle's `drafts/` holds `tokens.npy`, all files one after the other with SEPARATOR between them, and for each n of
RUNS `places-n.npy`, a hash table from runs of n tokens to the place after them. Where a run stands several times, the
place is the latest of those with the most frequent next token. All are read into memory, 83 MB at most and mostly few:
with a memory map, a bundle that is copied over the one that answers would end the process. MAX_TOKENS bounds them.

The drafts are the repository's code: who gives a bundle away gives it away too.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import BundleError

Tokens = NDArray[np.uint32]
Places = NDArray[np.uint32]  # a power of two of slots: place + 1, or 0 where the slot is empty

FOLDER = "drafts"
SEPARATOR = np.uint32(2**32 - 1)  # no token
RUNS = (4, 2)  # tokens; longest first
MAX_TOKENS = 4_000_000  # some 400,000 lines; the tables take 67 MB then
_MAX_SLOTS = 1 << (2 * MAX_TOKENS - 1).bit_length()
_MAX_HEADER = 4096  # bytes of an array file before its numbers
FILES = ("tokens.npy", *(f"places-{run}.npy" for run in RUNS))
PROBES = 8  # slots that a run may lie in
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio (Knuth, multiplicative hashing)
_MASK = (1 << 64) - 1


@dataclass(frozen=True, kw_only=True)
class DraftIndex:
    """Look-ups in the repository's tokens."""

    tokens: Tokens
    places: dict[int, Places]  # by run length

    def propose(self, context: Sequence[int], limit: int) -> tuple[int, list[int]]:
        """The longest known run that ends `context`, and up to `limit` tokens that follow it; (0, []) for none."""
        for run in RUNS:
            if len(context) < run:
                continue
            place = self._find(context[-run:])
            if place is not None:
                following = self.tokens[place : place + limit].tolist()
                end = following.index(int(SEPARATOR)) if int(SEPARATOR) in following else len(following)
                return run, following[:end]
        return 0, []

    def _find(self, run: Sequence[int]) -> int | None:
        table = self.places[len(run)]
        slot = _slot_of(run, len(table))
        for probe in range(PROBES):
            entry = int(table[(slot + probe) & (len(table) - 1)])
            if entry == 0:
                return None
            place = entry - 1
            if self.tokens[place - len(run) : place].tolist() == list(run):
                return place
        return None


def within_limit(sequences: Iterable[Sequence[int]]) -> Iterator[Tokens]:
    """Yield the first of these sequences, as many as an index takes."""
    count = 0
    for sequence in sequences:
        count += len(sequence) + 1
        if count > MAX_TOKENS:
            return
        yield np.asarray(sequence, np.uint32)


def build_index(sequences: Iterable[Sequence[int]]) -> DraftIndex:
    """Index token sequences, a file each, up to MAX_TOKENS."""
    end = np.array([SEPARATOR], np.uint32)
    parts = [part for sequence in within_limit(sequences) for part in (sequence, end)]
    tokens = np.concatenate(parts) if parts else np.zeros(0, np.uint32)
    return DraftIndex(tokens=tokens, places={run: _index_runs(tokens, run) for run in RUNS})


def write_index(index: DraftIndex, folder: Path) -> None:
    """Write the files of `drafts/`."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tokens.npy", index.tokens)
    for run, places in index.places.items():
        np.save(folder / f"places-{run}.npy", places)


def open_index(folder: Path) -> DraftIndex | None:
    """The index of a bundle; None where it has none, or lacks a file of it. Raises BundleError where one is broken."""
    if not all((folder / name).is_file() for name in FILES):
        return None
    tokens = _open(folder / "tokens.npy", MAX_TOKENS)
    places = {run: _open(folder / f"places-{run}.npy", _MAX_SLOTS) for run in RUNS}
    for run, table in places.items():
        # Every entry is checked against the tokens when it is used; only a bad size could lead astray.
        if len(table) == 0 or len(table) & (len(table) - 1):
            raise BundleError(
                f"{folder / f'places-{run}.npy'} has {len(table)} slots, not a power of two; build again."
            )
    return DraftIndex(tokens=tokens, places=places)


def _open(path: Path, most: int) -> Tokens:
    try:
        if path.stat().st_size > _MAX_HEADER + most * np.dtype(np.uint32).itemsize:
            raise BundleError(f"{path} holds more than {most:,} numbers; run `submodel build` again.")
        array: Tokens = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:  # it may claim any length
        raise BundleError(f"{path} can't be read ({error}); run `submodel build` again.") from error
    if not isinstance(array, np.ndarray):  # numpy opens archives, too
        raise BundleError(f"{path} is no array; run `submodel build` again.")
    if array.dtype != np.uint32 or array.ndim != 1:
        raise BundleError(f"{path} holds {array.ndim}-dimensional {array.dtype}, not a list of uint32; build again.")
    return array


def _index_runs(tokens: Tokens, run: int) -> Places:
    """The table of all runs of `run` tokens that have a next token."""
    count = len(tokens) - run  # places run … len − 1 have `run` tokens before them
    if count <= 0:
        return np.zeros(1, np.uint32)
    hashes = np.zeros(count, np.uint64)
    is_whole = tokens[run:] != SEPARATOR
    for offset in range(run):
        part = tokens[offset : offset + count]
        hashes = hashes * _FACTOR + part.astype(np.uint64) + np.uint64(1)
        is_whole &= part != SEPARATOR
    places = np.flatnonzero(is_whole) + run
    chosen = _majority(hashes[is_whole], tokens[places], places)
    slots = 1 << max(1, int(2 * len(chosen)).bit_length())
    table = np.zeros(slots, np.uint32)
    pending = chosen
    start = _spread(hashes[chosen - run], slots)
    for probe in range(PROBES):
        at = (start + np.uint64(probe)) & np.uint64(slots - 1)
        is_free = table[at] == 0
        _, first = np.unique(at[is_free], return_index=True)  # of two that want one slot, the first gets it
        placed = np.flatnonzero(is_free)[first]
        table[at[placed]] = pending[placed] + 1
        rest = np.ones(len(pending), bool)
        rest[placed] = False
        pending, start = pending[rest], start[rest]
    return table


def _majority(hashes: NDArray[np.uint64], following: Tokens, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each hash the latest place with the most frequent next token."""
    order = np.lexsort((places, following, hashes))
    hashes, following, places = hashes[order], following[order], places[order]
    is_last = np.ones(len(hashes), bool)  # the last of its (hash, next token)
    is_last[:-1] = (hashes[1:] != hashes[:-1]) | (following[1:] != following[:-1])
    ends = np.flatnonzero(is_last)
    counts = np.diff(ends, prepend=-1)
    hashes, places = hashes[ends], places[ends]
    order = np.lexsort((places, counts, hashes))
    is_best = np.ones(len(order), bool)  # the last of its hash: highest count, then latest place
    is_best[:-1] = hashes[order][1:] != hashes[order][:-1]
    return places[order][is_best]


def _spread(hashes: NDArray[np.uint64], slots: int) -> NDArray[np.uint64]:
    return (hashes * _FACTOR) >> np.uint64(64 - (slots.bit_length() - 1)) if slots > 1 else hashes * np.uint64(0)


def _slot_of(run: Sequence[int], slots: int) -> int:
    """As `_index_runs` computes it, on Python's own integers, which wrap nowhere by themselves."""
    value = 0
    for token in run:
        value = (value * int(_FACTOR) + token + 1) & _MASK
    return ((value * int(_FACTOR)) & _MASK) >> (64 - (slots.bit_length() - 1)) if slots > 1 else 0

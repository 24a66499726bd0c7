"""Fingerprints of texts: hashes of their words, and of runs of words, that comments and white space do not change.

A word is a run of ASCII letters, digits and underscores. Case, underscores, punctuation and comment markers do not
count, so that `has_items` is `hasItems` and a docstring is the same text as a block of `//` lines. Words that
translators swap between languages (list, array, True, None…) are left out. Hashes do not give the text back, so a set
of them may be published where the text may not. All of it is numpy: a corpus has tens of megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]  # (count,)

RUN_WORDS = 8  # shorter runs are found in ordinary English, longer ones miss one-sentence docstrings
# Of the words in a run: enough of them tell something, and numbers, as in a table or an example, tell nothing.
MIN_TELLING_WORDS = 5

_LEFT_OUT = """
    list lists array arrays vector vectors slice slices sequence table tables tuple tuples pair dict dictionary
    dictionaries map object hash hashmap none null nil undefined nothing true false
"""
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten"  # counted up in many files, in this order
_DROPPED = 255  # in `_FOLD`: no letter and no gap
_MAX_WORD_LETTERS = 64  # later letters of a word all count as the 64th
_MASK = (1 << 64) - 1
_LETTER_FACTOR = 0x9E3779B97F4A7C15  # odd, as the next two: multiplication modulo 2⁶⁴ must lose nothing
_MIX_FACTOR = 0xBF58476D1CE4E5B9
_RUN_FACTOR = 0x94D049BB133111EB


def _make_fold() -> NDArray[np.uint8]:
    fold = np.zeros(256, np.uint8)
    for character in b"abcdefghijklmnopqrstuvwxyz0123456789":
        fold[character] = character
        fold[ord(chr(character).upper())] = character
    fold[ord("_")] = _DROPPED
    return fold


_FOLD = _make_fold()
_ESCAPES = np.frombuffer(b"nrt", np.uint8)
_POWERS: Hashes = np.array([pow(_LETTER_FACTOR, k, _MASK + 1) for k in range(_MAX_WORD_LETTERS)], np.uint64)


@dataclass(frozen=True, kw_only=True)
class HashSet:
    """A set of hashes that is asked about whole arrays."""

    hashes: Hashes  # sorted, none twice, at least one
    may_hold: NDArray[np.bool_]  # (65,536) by the upper 16 bits: spares the search for most of what is not in the set

    @classmethod
    def of(cls, hashes: Hashes) -> HashSet:
        """The set of these hashes, in any order."""
        distinct = np.unique(hashes)
        may_hold = np.zeros(1 << 16, np.bool_)
        may_hold[_upper_bits(distinct)] = True
        return cls(hashes=distinct, may_hold=may_hold)

    def holds(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which of the hashes are in the set."""
        held = self.may_hold[_upper_bits(hashes)]
        places = np.flatnonzero(held)
        asked = hashes[places]
        nearest = np.minimum(np.searchsorted(self.hashes, asked), len(self.hashes) - 1)
        held[places] = self.hashes[nearest] == asked
        return held

    def count(self, hashes: Hashes) -> int:
        """How many distinct ones of the hashes are in the set."""
        return len(np.unique(hashes[self.holds(hashes)]))


def _upper_bits(hashes: Hashes) -> NDArray[np.int64]:
    return (hashes >> np.uint64(48)).view(np.int64)


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of a text in order, those that translators swap left out."""

    hashes: Hashes
    is_telling: NDArray[np.bool_]  # three letters or more; no number, in digits or as a word

    def hash_runs(self) -> Hashes:
        """A hash for each run of `RUN_WORDS` words, at least `MIN_TELLING_WORDS` of them telling."""
        count = len(self.hashes) - RUN_WORDS + 1
        if count < 1:
            return np.empty(0, np.uint64)
        runs = np.zeros(count, np.uint64)
        telling = np.zeros(count, np.uint8)
        for offset in range(RUN_WORDS):
            runs *= np.uint64(_RUN_FACTOR)
            runs += self.hashes[offset : offset + count]
            telling += self.is_telling[offset : offset + count]
        return _mix(runs[telling >= MIN_TELLING_WORDS])


def read_words(text: str) -> Words:
    """The hashed words of a text. Line ends that are written out, as in strings of JSON, part words too."""
    words = _hash_words(text)
    kept = ~_LEFT_OUT_HASHES.holds(words.hashes)
    hashes = words.hashes[kept]
    return Words(hashes=hashes, is_telling=words.is_telling[kept] & ~_NUMBER_HASHES.holds(hashes))


def _hash_words(text: str) -> Words:
    raw = np.frombuffer(text.encode(), np.uint8)
    folded = _FOLD[raw]
    if "\\" in text:
        escaped = np.flatnonzero(raw[:-1] == ord("\\")) + 1
        folded[escaped[np.isin(raw[escaped], _ESCAPES)]] = 0
    if "_" in text:
        folded = folded[folded != _DROPPED]
    edges = np.flatnonzero(np.diff(folded != 0, prepend=False, append=False))
    lengths = edges[1::2] - edges[::2]
    if not len(lengths):
        return Words(hashes=np.empty(0, np.uint64), is_telling=np.empty(0, np.bool_))
    letters = folded[folded != 0]
    starts = np.cumsum(lengths) - lengths
    places = np.minimum(np.arange(len(letters)) - np.repeat(starts, lengths), _MAX_WORD_LETTERS - 1)
    hashes = _mix(np.add.reduceat(letters * _POWERS[places], starts))
    return Words(hashes=hashes, is_telling=(lengths >= 3) & (letters[starts] >= ord("a")))


def _mix(hashes: Hashes) -> Hashes:
    mixed = (hashes ^ (hashes >> np.uint64(31))) * np.uint64(_MIX_FACTOR)
    return mixed ^ (mixed >> np.uint64(29))


_LEFT_OUT_HASHES = HashSet.of(_hash_words(_LEFT_OUT).hashes)
_NUMBER_HASHES = HashSet.of(_hash_words(_NUMBER_WORDS).hashes)


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """What is known of a set of problems."""

    runs: HashSet
    names: HashSet


def load_fingerprints(path: Path) -> Fingerprints:
    """Read what `benchmarks.make_fingerprints` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Fingerprints(runs=HashSet.of(arrays["runs"]), names=HashSet.of(arrays["names"]))

"""Files that are near-copies of one another, exactly and without all pairs: an inverted index of lines.

A file's evidence is the set of its distinct, non-trivial lines: white space collapsed, comment lines and lines of few
characters left out. File a is near file b where b holds at least half of a's lines (containment; a Jaccard index of
one half implies it). It is directed: a small file within a big one says little about the big one.

Lines that more than `COMMON_FILES` files hold are the repository's boilerplate. They are too many pairs to count, and a
file that is mostly made of them is near the whole repository.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from contract.repository.languages import get_language, is_comment_line

MIN_CONTAINMENT = 0.5
COMMON_FILES = 50  # bounds the work by this many files for each line
MIN_LINE_CHARS = 8  # "return x", "else:" and brackets do not show where a file came from

EVERY_FILE = -1  # stands for the whole repository among the files that one is near to


def evidence_lines(text: str, language: str) -> frozenset[int]:
    """Hashes (64 bits) of the distinct lines that can show a copy."""
    spoken = get_language(language)
    lines = {" ".join(line.split()) for line in text.split("\n") if not is_comment_line(line, spoken)}
    return frozenset(_hash_line(line) for line in lines if sum(map(str.isalnum, line)) >= MIN_LINE_CHARS)


def _hash_line(line: str) -> int:
    # Not the built-in hash, which differs between processes; surrogates cannot occur, since files are UTF-8.
    return int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest(), "big")


def find_near_files(evidence: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """For each file by index, the other files that hold at least half of its lines; `EVERY_FILE` for boilerplate.

    Time: the number of lines times `COMMON_FILES` at most.
    """
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for index, lines in enumerate(evidence):
        for line in lines:
            holders[line].append(index)
    return [_near_files(index, lines, holders) for index, lines in enumerate(evidence)]


def _near_files(index: int, lines: frozenset[int], holders: dict[int, list[int]]) -> frozenset[int]:
    shared: Counter[int] = Counter()
    common = 0
    for line in lines:
        files = holders[line]
        if len(files) > COMMON_FILES:
            common += 1
        elif len(files) > 1:
            shared.update(files)
    needed = MIN_CONTAINMENT * len(lines)
    near = {other for other, count in shared.items() if other != index and count + common >= needed}
    if lines and common >= needed:
        near.add(EVERY_FILE)
    return frozenset(near)

"""What git knows of a repository's way from one commit to HEAD: renames, and texts as they were.

Two commits are compared, never the working tree: comparing that one would run the filters which a repository names.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contract.repository.file_filters import decode_text
from contract.repository.git import DIFF_OPTIONS, GitError, decode_name, run_git
from contract.repository.secrets import remove_secrets

EXACT = ("--find-renames=100%",)
TEXTS_AT_ONCE = 32  # of one process; all of them are in memory
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_HEADER = re.compile(rb"[0-9a-f]+ (\w+) (\d+)")  # of an object that git found; other answers have one line


def head_commit(root: Path) -> str | None:
    """The commit that is checked out, as a full hash; None without git, and before the first commit."""
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode("ascii", "replace").strip()
    except GitError:
        return None


@dataclass(frozen=True, kw_only=True)
class Renames:
    """New path → old path of what was renamed. Paths are posix. exact_only: files that also changed are not found."""

    paths: dict[str, str]
    exact_only: bool = False


def renames_since(root: Path, commit: str | None) -> Renames | None:
    """What was renamed from `commit` (a full hash) to HEAD, relative to `root`; None if git can't say.

    Git can't say where the commit is gone, for one. In a partial clone it may lack texts to compare. It then knows the
    renames of files whose text is the same.
    """
    if commit is None or not _COMMIT.fullmatch(commit):
        return None
    asked = ("--relative", "--name-status", "-z", "--diff-filter=R", commit, "HEAD", "--")
    # All files are compared, or not all where that takes too long, or no texts but their hashes.
    for how in (("-l0", "--find-renames"), ("--find-renames",), EXACT):
        with suppress(GitError):
            names = run_git(root, "diff", *DIFF_OPTIONS, *how, *asked)
            break
    else:
        return None
    # `R100 NUL old NUL new NUL`, repeated.
    fields = [decode_name(name) for name in names.split(b"\0")]
    triples = zip(*(fields[start::3] for start in range(3)), strict=False)
    return Renames(paths={new: old for status, old, new in triples if status}, exact_only=how is EXACT)


def paths_at(root: Path, commit: str | None) -> frozenset[str]:
    """The paths of the files that `commit` has; none where git can't say."""
    if commit is None or not _COMMIT.fullmatch(commit):
        return frozenset()
    try:
        listed = run_git(root, "ls-tree", "-r", "--name-only", "-z", commit)
    except GitError:
        return frozenset()
    return frozenset(decode_name(name) for name in listed.split(b"\0") if name)


def texts_at(
    root: Path, commit: str, paths: Iterable[str], on_text: Callable[[], None] = lambda: None
) -> dict[str, str]:
    """The texts that files had at `commit`, as a build reads them; what git can't give is left out.

    Each costs some milliseconds, so ask only for what `paths_at` names. on_text: called before each is read.
    """
    asked = list(paths)
    texts = _texts(root, [f"{commit}:./{path}" for path in asked], on_text)
    return {path: text for path, text in zip(asked, texts, strict=True) if text is not None}


def _texts(root: Path, names: Sequence[str], on_text: Callable[[], None] = lambda: None) -> Iterator[str | None]:
    """Yield the text of each of git's objects, as a build reads it, or None.

    on_text: called before each is read.
    """
    for start in range(0, len(names), TEXTS_AT_ONCE):
        for content in _contents(root, names[start : start + TEXTS_AT_ONCE]):
            on_text()
            text = None if content is None else decode_text(content)
            yield None if text is None else remove_secrets(text).text


def _contents(root: Path, names: Sequence[str]) -> list[bytes | None]:
    """Return the contents of git's objects, None for each that git can't give. No filter is run."""
    # git takes each line for a name. What one process can't answer for all of them, a process for each may.
    if not any(mark in name for name in names for mark in "\0\r\n"):
        lines = "".join(f"{name}\n" for name in names).encode(sys.getfilesystemencoding(), "surrogateescape")
        with suppress(GitError, ValueError):
            blobs = _split_batch(run_git(root, "cat-file", "--batch", asked=lines))
            if len(blobs) == len(names):
                return blobs
    contents: list[bytes | None] = []
    for name in names:
        try:
            contents.append(run_git(root, "cat-file", "blob", name))
        except GitError:
            contents.append(None)
    return contents


def _split_batch(answer: bytes) -> list[bytes | None]:
    """Return the blobs of what `git cat-file --batch` prints; None for what is missing, or no blob."""
    blobs: list[bytes | None] = []
    start = 0
    while start < len(answer):
        end = answer.index(b"\n", start)
        header = _HEADER.fullmatch(answer, start, end)
        start = end + 1
        if header is None:
            blobs.append(None)
            continue
        size = int(header[2])
        blobs.append(answer[start : start + size] if header[1] == b"blob" else None)
        start += size + 1
    return blobs

"""What git knows of a repository's way from one commit to HEAD: renames, added lines, and texts as they were.

Two commits are compared, never the working tree: comparing that one would run the filters which a repository names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contract.repository.file_filters import decode_text
from contract.repository.git import DIFF_OPTIONS, GitError, run_git
from contract.repository.secrets import remove_secrets

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Renames and added lines between two commits; paths are posix, relative to the repository's folder."""

    renames: Mapping[str, str] = field(default_factory=dict)  # new path → old path
    added_lines: Mapping[str, frozenset[str]] = field(default_factory=dict)  # path → lines without outer white space


def head_commit(root: Path) -> str | None:
    """The commit that is checked out, as a full hash; None without git, and before the first commit."""
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode("ascii", "replace").strip()
    except GitError:
        return None


def changes_since(root: Path, commit: str | None) -> Changes | None:
    """What changed from `commit` (a full hash) to HEAD; None if git can't say, as when the commit is gone."""
    if commit is None or not _COMMIT.fullmatch(commit):
        return None
    asked = ("diff", *DIFF_OPTIONS, "--find-renames", "--relative")
    try:
        names = run_git(root, *asked, "--name-status", "-z", "--diff-filter=R", commit, "HEAD", "--")
        diff = run_git(root, *asked, "--unified=0", "--diff-filter=AMR", commit, "HEAD", "--")
    except GitError:
        return None
    return Changes(renames=_parse_renames(names), added_lines=_parse_lines(diff))


def texts_at(root: Path, commit: str | None, paths: Iterable[str]) -> dict[str, str]:
    """The texts that files had at `commit`, as a build reads them; what git can't give is left out."""
    found: dict[str, str] = {}
    if commit is None or not _COMMIT.fullmatch(commit):
        return found
    for path in paths:
        try:
            content = run_git(root, "cat-file", "blob", f"{commit}:./{path}")  # runs no filter
        except GitError:
            continue
        if (text := decode_text(content)) is not None:
            found[path] = remove_secrets(text).text
    return found


def _parse_renames(names: bytes) -> dict[str, str]:
    """`R100 NUL old NUL new NUL`, repeated."""
    fields = [os.fsdecode(name) for name in names.split(b"\0")]
    return {new: old for status, old, new in zip(*(fields[start::3] for start in range(3)), strict=False) if status}


def _parse_lines(diff: bytes) -> dict[str, frozenset[str]]:
    """The lines with a plus of each file; a file whose name git quotes is left out."""
    found: dict[str, set[str]] = {}
    lines: set[str] = set()
    left = 0  # of a hunk's added lines: so that no line of a file is taken for a header
    for line in diff.decode("utf-8", "replace").split("\n"):
        if left and line.startswith("+"):
            lines.add(line[1:].strip())
            left -= 1
        elif hunk := re.match(r"@@ -\S+ \+\d+(?:,(\d+))? @@", line):
            left = int(hunk.group(1) or 1)
        elif not left and line.startswith("+++ b/"):
            lines = found.setdefault(line.removeprefix("+++ b/").removesuffix("\t"), set())
        elif not left and line.startswith("diff --git "):
            lines = set()  # of a file whose name did not come, or not yet
    return {path: frozenset(added - {""}) for path, added in found.items()}

"""What git knows of a repository's way from one commit to HEAD: renames, and texts as they were.

Two commits are compared, never the working tree: comparing that one would run the filters which a repository names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from contract.repository.file_filters import decode_text
from contract.repository.git import DIFF_OPTIONS, GitError, decode_name, run_git
from contract.repository.secrets import remove_secrets

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def head_commit(root: Path) -> str | None:
    """The commit that is checked out, as a full hash; None without git, and before the first commit."""
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode("ascii", "replace").strip()
    except GitError:
        return None


def renames_since(root: Path, commit: str | None) -> dict[str, str] | None:
    """New path → old path of what was renamed from `commit` (a full hash) to HEAD; None if git can't say.

    Git can't say where the commit is gone, for one. Paths are posix, relative to `root`.
    """
    if commit is None or not _COMMIT.fullmatch(commit):
        return None
    asked = ("--find-renames", "--relative", "--name-status", "-z", "--diff-filter=R", commit, "HEAD", "--")
    for limit in (("-l0",), ()):  # where there are so many files that comparing all of them takes too long, not all
        with suppress(GitError):
            names = run_git(root, "diff", *DIFF_OPTIONS, *limit, *asked)
            break
    else:
        return None
    # `R100 NUL old NUL new NUL`, repeated.
    fields = [decode_name(name) for name in names.split(b"\0")]
    return {new: old for status, old, new in zip(*(fields[start::3] for start in range(3)), strict=False) if status}


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

    Each costs a process, so ask only for what `paths_at` names. on_text: called before each.
    """
    found: dict[str, str] = {}
    for path in paths:
        on_text()
        try:
            content = run_git(root, "cat-file", "blob", f"{commit}:./{path}")  # runs no filter
        except GitError:
            continue
        if (text := decode_text(content)) is not None:
            found[path] = remove_secrets(text).text
    return found

"""The files that a repository consists of: git's own list where there is one, ignore rules otherwise.

A source distribution, or a machine without git, gets the walk: nested `.gitignore` files as git reads them, but neither
the user's global excludes nor `.git/info/exclude`. Nothing is opened here but `.gitignore` files, and no link followed.

A repository's own git configuration can name programs to run (core.fsmonitor, hooks, transports that fetch missing
objects). git is called with all of these off, with no `GIT_*` variable of the caller, and within a time limit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from builder.corpus.ignore_rules import IgnoreRules
from builder.corpus.reading import SourceReader, Unreadable

OWN_FOLDERS: frozenset[str] = frozenset({".git", ".submodel"})  # never part of a corpus, at any depth

_GIT_TIMEOUT_S = 60  # a pipe in place of a file that git reads would hold it for ever
_GIT_OPTIONS = (
    "--no-pager",
    "--literal-pathspecs",
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "safe.bareRepository=explicit"),
)
_MAX_IGNORE_BYTES = 128 << 10


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Paths (posix, relative to the root, sorted, each once), who listed them, and folders that could not be read."""

    paths: tuple[str, ...]
    source: Literal["git", "walk"]
    unreadable_folders: int = 0


def list_files(root: Path) -> Listing:
    """List the repository at `root`, a real path of a folder; raises OSError where that folder itself can't be read."""
    with os.scandir(root):
        pass  # git would answer with an empty list
    paths = _list_with_git(root)
    if paths:
        return Listing(paths=_finish(paths), source="git")
    # Also where git lists nothing: the folder may lie in an ignored place of a repository that has nothing to do with
    # it, as an unpacked source distribution does.
    return _walk(root)


def _finish(paths: list[str]) -> tuple[str, ...]:
    return tuple(sorted({path for path in paths if not OWN_FOLDERS.intersection(path.split("/"))}))


def _git_environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("GIT_")}
    return environment | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_NO_LAZY_FETCH": "1",  # a partial clone fetches missing objects through a program of its choice
        "GIT_ALLOW_PROTOCOL": "",  # and for a git that knows no such variable: no transport is allowed
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _run_git(git: str, root: Path, *arguments: str) -> bytes | None:
    """What git prints, or None where it fails: no repository, not this user's, broken, or out of time."""
    try:
        done = subprocess.run(
            [git, *_GIT_OPTIONS, *arguments],
            cwd=root,
            env=_git_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _list_with_git(root: Path) -> list[str] | None:
    git = shutil.which("git")
    if git is None:
        return None
    top = _run_git(git, root, "rev-parse", "--show-toplevel")
    # core.worktree can name any folder as the work tree: only this folder, or one above it, is believed.
    if not top or not root.is_relative_to(os.path.realpath(os.fsdecode(top.removesuffix(b"\n")))):
        return None
    names = _run_git(git, root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if names is None:
        return None
    return [os.fsdecode(name).removesuffix("/") for name in names.split(b"\0") if name]


def _walk(root: Path) -> Listing:
    reader = SourceReader(root, max_bytes=_MAX_IGNORE_BYTES)
    paths: list[str] = []
    unreadable = 0
    pending: list[tuple[str, IgnoreRules]] = [("", IgnoreRules())]  # a stack, since trees can be deeper than Python's
    while pending:
        folder, rules = pending.pop()
        try:
            with os.scandir(root / folder) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            unreadable += 1
            continue
        if (".gitignore", False) in found:
            rules = _add_rules(rules, reader, folder)
        for name, is_folder in found:
            path = folder + name
            if name in OWN_FOLDERS or rules.is_ignored(path, is_folder=is_folder):
                continue
            if is_folder:
                pending.append((path + "/", rules))
            else:
                paths.append(path)
    return Listing(paths=_finish(paths), source="walk", unreadable_folders=unreadable)


def _add_rules(rules: IgnoreRules, reader: SourceReader, folder: str) -> IgnoreRules:
    try:
        content = reader.read(str(PurePosixPath(folder, ".gitignore")))
    except Unreadable:
        return rules  # git passes over one that is a link, too
    return rules.with_file(folder, content.decode("utf-8", errors="surrogateescape"))

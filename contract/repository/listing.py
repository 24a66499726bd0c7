"""The files that a repository consists of: git's own list where there is one, ignore rules otherwise.

A source distribution, or a machine without git, gets the walk: nested `.gitignore` files as git reads them, but neither
the user's global excludes nor `.git/info/exclude`. Nothing is opened here but `.gitignore` files, and no link followed.

git is asked through `contract.repository.git`, so that nothing which the repository names is run. `ListingLimits`
bound what a stranger's tree can cost.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from contract.errors import CorpusError
from contract.files.file_names import is_link, path_below
from contract.files.home import folders_up
from contract.repository.git import GitError, decode_name, run_git
from contract.repository.ignore_rules import MAX_BYTES, IgnoreRules, decode_rules
from contract.repository.reading import SourceReader, Unreadable

# Never part of a corpus, at any depth, and in any case: file systems may not tell .GIT from .git.
OWN_FOLDERS: frozenset[str] = frozenset({".git", ".submodel"})

MAX_ENTRIES = 5_000_000  # some hundred bytes each; far more than a repository has
UNTRACKED: Final = b"?"  # git's tag
SKIPPED: Final = b"S"  # git's tag of what a sparse checkout leaves out
# Values of the attribute "filter" that hide nothing. Any other may encrypt, as git-crypt does: names are free.
_HARMLESS: Final = frozenset({b"", b"unspecified", b"unset", b"set", b"lfs", b"nbstripout"})
_MAX_DEPTH = 100  # of folders in a walk: the time of ignore rules grows with it, and no source lies deeper


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Paths (posix, relative to the root, sorted, each once), who listed them, and folders that could not be read."""

    paths: tuple[str, ...]
    source: Literal["git", "walk"]
    tracked: frozenset[str] = field(default=frozenset(), compare=False)  # those that git has in its index
    sparse: frozenset[str] = field(default=frozenset(), compare=False)  # those of them that it may not have checked out
    unreadable_folders: int = 0
    git_problem: str = ""  # why git did not list a folder of a repository


@dataclass(frozen=True, kw_only=True)
class ListingLimits:
    """How much of a tree is looked at; git has a time limit of its own."""

    max_entries: int = MAX_ENTRIES  # of a walk: files and folders, ignored ones too
    max_by_git: int = MAX_ENTRIES  # that git lists, without those that a sparse checkout leaves out
    until_s: float = math.inf  # of `time.monotonic`

    def check(self, root: Path, entries: int) -> None:
        """Raise CorpusError once so many entries are too many, or the time is over."""
        if entries > self.max_entries:
            raise CorpusError(
                f"{root} has more than {self.max_entries:,} files and folders; leave those that are no source out "
                "with a .gitignore file, or choose a smaller folder."
            )
        self.check_time(root)

    def check_by_git(self, root: Path, entries: int, sparse: int) -> None:
        """Raise CorpusError if git lists so many files, `sparse` of them not checked out, or the time is over."""
        if entries - sparse > self.max_by_git or entries > MAX_ENTRIES:
            raise CorpusError(
                f"{root} has more than {self.max_by_git if entries <= MAX_ENTRIES else MAX_ENTRIES:,} files; leave "
                "tracked ones out with a sparse checkout and others with a .gitignore file, or choose a smaller folder."
            )
        self.check_time(root)

    def check_time(self, root: Path) -> None:
        """Raise CorpusError if the time is over."""
        if time.monotonic() > self.until_s:
            raise CorpusError(f"Reading {root} takes too long; choose a smaller folder.")


_DEFAULT_LIMITS = ListingLimits()


def list_files(root: Path, limits: ListingLimits = _DEFAULT_LIMITS) -> Listing:
    """List the repository at `root`, a real path of a folder.

    Raises OSError where that folder itself can't be read, and CorpusError where it goes beyond the limits.
    """
    with os.scandir(root):
        pass  # git would answer with an empty list
    problem, repository = "", repository_of(root)
    try:
        tags = _list_with_git(root, limits)
    except GitError as error:
        tags, problem = {}, "" if repository is None else str(error)
    if tags:
        tracked = frozenset(path for path, tag in tags.items() if tag != UNTRACKED)
        sparse = frozenset(path for path, tag in tags.items() if tag == SKIPPED)
        return Listing(paths=_finish(tags), source="git", tracked=tracked, sparse=sparse)
    # Also where git lists nothing: the folder may lie in an ignored place of a repository that has nothing to do with
    # it, as an unpacked source distribution does.
    top = repository if repository is not None and problem else root
    return replace(_walk(top, root, limits), git_problem=problem)


def repository_of(folder: Path) -> Path | None:
    """The git repository that a folder lies in; None for none."""
    return next((above for above in folders_up(folder) if os.path.lexists(above / ".git")), None)


def _finish(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({path for path in paths if not OWN_FOLDERS.intersection(path.casefold().split("/"))}))


def _list_with_git(root: Path, limits: ListingLimits) -> dict[str, bytes]:
    """Path → git's tag of it. UNTRACKED is not in its index, SKIPPED not wanted in the work tree.

    Raises GitError where git fails: it is not there, or this is no repository, not this user's, broken, or takes too
    long. Raises CorpusError beyond the limits, before the names are made.
    """
    # Not --show-toplevel, which is /c/Users/… to a git of MSYS2 or Cygwin. This is `../` for each folder on the way up.
    up = run_git(root, "rev-parse", "--show-cdup")
    if not up:
        raise GitError("this is no work tree of git")
    # core.worktree can name any folder as the work tree: only this folder, or one above it, is believed. Of another one
    # git prints the whole path.
    if path_below(root, Path(os.path.realpath(root / decode_name(up.removesuffix(b"\n"))))) is None:
        raise GitError("git names another folder as the work tree")
    answer = run_git(root, "ls-files", "-t", "-z", "--cached", "--others", "--exclude-standard")
    # A line is a tag, a space, a name and NUL; no name holds NUL.
    limits.check_by_git(root, answer.count(b"\0"), (b"\0" + answer).count(b"\0" + SKIPPED + b" "))
    return {decode_name(line[2:]).removesuffix("/"): line[:1] for line in answer.split(b"\0") if line}


def filtered_files(root: Path, paths: Collection[str]) -> frozenset[str]:
    """Return those of the paths that git keeps otherwise than they lie here, by a filter. Raises GitError.

    Their owner may encrypt them in the repository, and they may lie here in plain text. No filter is run.
    """
    asked = b"".join(path.encode(sys.getfilesystemencoding(), "surrogateescape") + b"\0" for path in paths)
    answer = run_git(root, "check-attr", "-z", "--stdin", "filter", asked=asked) if asked else b""
    parts = answer.split(b"\0")  # a name, the attribute, its value, and so on
    return frozenset(
        decode_name(name) for name, value in zip(parts[::3], parts[2::3], strict=False) if value not in _HARMLESS
    )


def _walk(top: Path, root: Path, limits: ListingLimits) -> Listing:
    """The files by a walk. A repository's nested repositories are left out, as git does; a folder of several is not.

    top: the repository that `root` lies in, whose ignore rules hold; else `root`.
    """
    reader = SourceReader(top, max_bytes=MAX_BYTES)
    has_git = os.path.lexists(top / ".git")
    begin = "" if top == root else f"{root.relative_to(top).as_posix()}/"
    paths: list[str] = []
    visited = unreadable = 0
    # A stack, since trees can be deeper than Python's.
    pending: list[tuple[str, IgnoreRules]] = [(begin, _rules_above(begin, reader))]
    while pending:
        folder, rules = pending.pop()
        try:
            with os.scandir(top / folder) as entries:
                found = []
                for entry in entries:
                    visited += 1
                    limits.check(root, visited)
                    found.append((entry.name, _is_folder(entry)))
        except OSError:
            unreadable += 1
            continue
        if has_git and folder != begin and any(name == ".git" for name, _ in found) and _is_repository(top / folder):
            continue
        if (".gitignore", False) in found:
            rules = _add_rules(rules, reader, folder)
        for name, is_folder in found:
            limits.check(root, visited)  # a rule may take long on a path
            path = folder + name
            if name.casefold() in OWN_FOLDERS or rules.is_ignored(path, is_folder=is_folder):
                continue
            if is_folder and path.count("/") - begin.count("/") >= _MAX_DEPTH:
                unreadable += 1
            elif is_folder:
                pending.append((path + "/", rules))
            else:
                paths.append(path.removeprefix(begin))
    return Listing(paths=_finish(paths), source="walk", unreadable_folders=unreadable)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder and no link to one: a junction of Windows is a folder to `is_dir`."""
    return entry.is_dir(follow_symlinks=False) and not is_link(Path(entry.path))


def _is_repository(folder: Path) -> bool:
    """Whether a folder has a git repository of its own, as a submodule (a file) or a clone."""
    git = folder / ".git"
    return git.is_file() or (git / "HEAD").is_file()


def _rules_above(folder: str, reader: SourceReader) -> IgnoreRules:
    """The rules of the folders above `folder`; none if they ignore it: then it is another project's."""
    rules = IgnoreRules()
    parts = PurePosixPath(folder).parts
    for depth, name in enumerate(parts):
        above = "".join(f"{part}/" for part in parts[:depth])
        rules = _add_rules(rules, reader, above)
        if rules.is_ignored(above + name, is_folder=True):
            return IgnoreRules()
    return rules


def _add_rules(rules: IgnoreRules, reader: SourceReader, folder: str) -> IgnoreRules:
    try:
        content = reader.read(str(PurePosixPath(folder, ".gitignore")))
    except Unreadable:
        return rules  # git passes over one that is a link, too
    return rules.with_file(folder, decode_rules(content))

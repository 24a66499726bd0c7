"""Opening files of a repository that nobody vouches for: bounded, never through a link, never a pipe or a device.

A repository comes from strangers, so a path may be anything: a link out of the tree, a loop, a pipe that never ends, a
file that grows. Each is a reason to leave the file out, never an error. Someone who changes the tree while it is read
can at worst make a file fall out; he could as well have changed its text.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Final

from contract.files.file_names import is_link, is_link_status, is_plain, leads_outside, path_below

DELETED: Final = "deleted"  # or never there


class Unreadable(Exception):
    """A file that is left out; its message is the reason to count."""


class SourceReader:
    """Reads files below one root. `root` must be a real path, without links (`os.path.realpath`)."""

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._real_folders: dict[PurePosixPath, bool] = {}  # relative folder → whether no link leads to it

    def read(self, path: str) -> bytes:
        """The content of the file at a relative posix path, at most `max_bytes`; raises Unreadable with the reason."""
        try:
            return self._read_regular(self._place_of(path))
        except FileNotFoundError as error:  # git lists what is deleted until that is committed
            raise Unreadable(DELETED) from error
        except OSError as error:
            raise Unreadable("unreadable") from error

    def size_of(self, path: str) -> int:
        """The bytes of the file that `read` would open, which it may find unreadable; raises Unreadable as it does."""
        try:
            full = self._place_of(path)
            status = os.lstat(full)
            self._check_kind(status, full)
        except FileNotFoundError as error:
            raise Unreadable(DELETED) from error
        except OSError as error:
            raise Unreadable("unreadable") from error
        return status.st_size

    def is_folder(self, path: str) -> bool:
        """Whether a folder lies at a relative posix path, as where git lists a repository inside as one entry."""
        if leads_outside(path, self._root) or not is_plain(path, self._root):
            return False
        pure = PurePosixPath(path)
        try:
            return self._is_real_folder(pure.parent) and stat.S_ISDIR(os.lstat(self._root / pure).st_mode)
        except OSError:
            return False

    def _place_of(self, path: str) -> Path:
        # A hostile git index can hold such names.
        if leads_outside(path, self._root):
            raise Unreadable("link outside")
        if not is_plain(path, self._root):
            raise Unreadable("odd name")
        pure = PurePosixPath(path)
        full = self._root / pure
        if not self._is_real_folder(pure.parent):
            raise Unreadable(self._link_reason(full))
        return full

    def _read_regular(self, full: Path) -> bytes:
        # Asked before opening, since opening a device may already do something; asked again of what was opened.
        self._check_kind(os.lstat(full), full)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(full, flags | getattr(os, "O_NOCTTY", 0))
        with os.fdopen(descriptor, "rb") as file:
            self._check_kind(os.fstat(descriptor), full)
            content = file.read(self._max_bytes + 1)
        if len(content) > self._max_bytes:  # it grew since its size was asked
            raise Unreadable("too large")
        return content

    def _check_kind(self, status: os.stat_result, full: Path) -> None:
        if is_link_status(status):
            raise Unreadable(self._link_reason(full))
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable("nested repository")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a file")
        if status.st_size > self._max_bytes:
            raise Unreadable("too large")

    def _link_reason(self, full: Path) -> str:
        """A link inside the tree is no loss, its target is read under its own name; one outside is never followed."""
        try:
            target = os.path.realpath(full, strict=True)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):
                return "broken link"
            return "unreadable"
        return "link outside" if path_below(Path(target), self._root) is None else "link"

    def _is_real_folder(self, folder: PurePosixPath) -> bool:
        """Whether no link leads to a folder. Each folder is looked at once: of those above it the answer is kept."""
        passed: list[PurePosixPath] = []
        is_real = True
        # Without the root. A loop, since trees can be deeper than the stack.
        for step in [folder, *folder.parents][:-1]:
            if (known := self._real_folders.get(step)) is not None:
                is_real = known
                break
            passed.append(step)
            if is_link(self._root / step):
                is_real = False
                break
        self._real_folders.update(dict.fromkeys(passed, is_real))  # behind a link are those below it
        return is_real

"""Names of files, and what the system that a folder lies on takes them for: strangers choose names, editors cases.

Windows splits a name at a backslash too, takes `c:x` for a file of another drive, `a.py:x` for a stream beside a.py,
`aux.py` for a device and `GIT~1` for `.git`, and drops dots and spaces at the end. Elsewhere each of these is a file
like any other. So the folder's flavour decides (`pathlib`), which lets tests ask for Windows anywhere.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Final

_PORTS: Final = (f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³")
DEVICES: Final = frozenset({"CON", "CONIN$", "CONOUT$", "PRN", "AUX", "NUL", *_PORTS})  # of Windows, in each folder
_SHORT: Final = re.compile(r"[^.]{1,6}~\d{1,6}(\..{0,3})?")  # a second name of some file, as NTFS keeps them
_STRAY: Final = (".DS_Store", "._*", "Thumbs.db", "desktop.ini", ".directory", ".nfs*")
_NO_NAME: Final = re.compile(r'[\x00-\x1f<>:"|?*\\]|[. ]$')


def leads_outside(name: str, folder: PurePath) -> bool:
    """Whether a posix name, put below `folder`, names something outside of it; links are not looked at."""
    flavour = _flavour(folder)
    parts = flavour(name).parts
    return ".." in parts or any(flavour(part).anchor for part in parts)


def is_plain(name: str, folder: PurePath) -> bool:
    """Whether each part of a posix name means one file or folder of that very name on the system of `folder`."""
    if _flavour(folder) is PurePosixPath:
        return "\0" not in name
    return not any(
        _NO_NAME.search(part) or _SHORT.fullmatch(part) or part.partition(".")[0].rstrip(" ").upper() in DEVICES
        for part in PurePosixPath(name).parts
    )


def is_stray(name: str) -> bool:
    """Whether file managers and network drives leave files of this name in any folder. No reader of ours opens them."""
    return any(fnmatchcase(name, stray) for stray in _STRAY)


def path_below(path: Path, folder: Path) -> Path | None:
    """Return the rest of a path below `folder`, or None if it lies elsewhere.

    macOS and Windows take /Users/Ada and /users/ada for one folder, and editors may name both: names that differ only
    in case or in the form of their accents are compared by what lies there.
    """
    start, rest = path.parts[: len(folder.parts)], path.parts[len(folder.parts) :]
    if start != folder.parts and _folded(start) == _folded(folder.parts):
        with suppress(OSError):  # one of them is not there
            return Path(*rest) if Path(*start).samefile(folder) else None
    return path.relative_to(folder) if path.is_relative_to(folder) else None


def _folded(parts: tuple[str, ...]) -> list[str]:
    return [unicodedata.normalize("NFD", part.casefold()) for part in parts]


def is_link(path: Path) -> bool:
    """Whether a path is a symbolic link or, on Windows, a junction; False if nothing is there."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return is_link_status(status)


def is_link_status(status: os.stat_result) -> bool:
    """Whether this result of `lstat` is that of a symbolic link or, on Windows, of a junction."""
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)  # Windows
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == junction


def _flavour(folder: PurePath) -> type[PurePath]:
    return PureWindowsPath if isinstance(folder, PureWindowsPath) else PurePosixPath


def is_file(path: Path) -> bool:
    """Return whether a regular file is there, through links; False where that can't be known."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False

"""The home folder: paths that begin with `~`, and which folders are no repository, since they hold it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from contract.files.file_names import is_link


def expand_home(path: Path) -> Path:
    """Return a path with `~` and `~NAME` expanded; one whose account has no home folder stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib raises RuntimeError there


def holds_home(folder: Path) -> bool:
    """Whether a folder is the home folder, holds it, or is the root of a file system.

    Folders are compared as the file system does, so that a link, a mount or another case of letters is no way around.
    Of `folder` only a link is resolved: that takes a look at each folder of its path.
    """
    folder = folder.absolute()
    real = Path(os.path.realpath(folder)) if is_link(folder) else folder
    named = os.path.expanduser("~")  # noqa: PTH111 - of a user without a home folder it stays "~"
    homes = [Path(named), Path(os.path.realpath(named))] if named != "~" else []
    holders = [one for home in homes for one in (home, *home.parents)]
    return real == Path(real.anchor) or real in holders or _is_among(real, holders)


def folders_up(start: Path) -> Iterator[Path]:
    """Yield `start` and the folders above it, up to the one that holds the home folder, which is not among them.

    One by one: each folder above a long path is a long path.
    """
    yield start
    for folder in start.parents:
        if holds_home(folder):
            return
        yield folder


def _is_among(folder: Path, others: Sequence[Path]) -> bool:
    try:
        status = folder.stat()
    except OSError:  # it is not there
        return False
    for other in others:
        with suppress(OSError):
            if os.path.samestat(status, other.stat()):
                return True
    return False

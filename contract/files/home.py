"""The home folder: paths that begin with `~`, and which folders are no repository, since they hold it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from contract.files.file_names import is_link


def expand_home(path: Path) -> Path:
    """Return a path with `~` and `~NAME` expanded; one whose account has no home folder stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib raises RuntimeError there


def holds_home(folder: Path) -> bool:
    """Whether a folder is the home folder, holds it, or is the root of a file system.

    Of `folder` only a link is resolved: that takes a look at each folder of its path.
    """
    named = os.path.expanduser("~")  # noqa: PTH111 - of a user without a home folder it stays "~"
    homes = [Path(named), Path(os.path.realpath(named))] if named != "~" else []
    folder = folder.absolute()
    real = Path(os.path.realpath(folder)) if is_link(folder) else folder
    return real == Path(real.anchor) or any(home.is_relative_to(real) for home in homes)


def folders_up(start: Path) -> Iterator[Path]:
    """Yield `start` and the folders above it, up to the one that holds the home folder, which is not among them.

    One by one: each folder above a long path is a long path.
    """
    yield start
    for folder in start.parents:
        if holds_home(folder):
            return
        yield folder

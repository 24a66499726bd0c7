"""The removal of folders that may be a stranger's: of any depth, and through no link."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from contract.files.file_names import is_link


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it. What can't be removed stays, without an error."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:  # before Python 3.13 it goes as deep as the folders lie
        _flatten(folder)
        shutil.rmtree(folder, ignore_errors=True)
    if _is_windows() and os.path.lexists(folder):
        _make_writable(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _is_windows() -> bool:
    return os.name == "nt"


def _make_writable(folder: Path) -> None:
    """Make all files below `folder` writable: Windows removes no read-only one, such as git's packs."""
    pending = [folder]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if is_link(Path(entry.path)):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                else:
                    with suppress(OSError):
                        os.chmod(entry.path, stat.S_IREAD | stat.S_IWRITE)  # noqa: PTH101 - of a scandir's name


def _flatten(folder: Path) -> None:
    """Move all folders below `folder` right into it, so that no path is long."""
    pending = [folder]
    while pending:
        found: list[Path] = []
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            found += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for path in found:
            place = folder / secrets.token_hex(8)
            if not is_link(path):
                with suppress(OSError):
                    path.rename(place)
                    pending.append(place)

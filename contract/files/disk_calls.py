"""Writes that are forced to the disk, a folder that is tried, and the removal of folders that may be a stranger's."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from contextlib import suppress
from pathlib import Path


def check_writable(folder: Path) -> None:
    """Raise OSError unless a file can be made in `folder`: to `os.access` every folder of Windows can be written."""
    probe = folder / f".submodel-{secrets.token_hex(8)}"
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    probe.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, through no link. What can't be removed stays, without an error."""
    with suppress(RecursionError):  # before Python 3.13 it goes as deep as a stranger's folders lie
        shutil.rmtree(folder, ignore_errors=True)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk. Windows opens no folder for it: there nothing is forced."""
    if sys.platform != "win32":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that know no sync have nothing to lose
                raise
        finally:
            os.close(handle)


def sync_tree(folder: Path) -> None:
    """Force a folder and all below it to the disk, so that after a power cut the renamed folder is not an empty one."""
    for path in (*folder.rglob("*"), folder):
        sync(path)

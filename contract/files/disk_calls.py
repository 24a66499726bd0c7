"""Calls that each system answers in its own way: renames, removals, writes that are forced to the disk.

Windows refuses them while another process has a file open, so they wait there.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from contract.files.removal import remove_tree

if sys.platform == "darwin":
    import fcntl

T = TypeVar("T")

# Windows renames nothing that another process has open or mapped: virus scanners let go soon, servers don't.
_RENAME_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0)
_MORE_WAITS_S = (2.0,) * 12  # for a folder: virus scanners read its gigabytes
_MAPPED = 1224  # ERROR_USER_MAPPED_FILE, which Python takes for no PermissionError


def check_writable(folder: Path) -> None:
    """Raise OSError unless a file can be made in `folder`: to `os.access` every folder of Windows can be written."""
    probe = folder / f".submodel-{secrets.token_hex(8)}"  # not by tempfile, which asks Windows 10,000 times
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with suppress(OSError):  # a virus scanner may hold it
        probe.unlink()


def rename(source: Path, target: Path) -> None:
    """Give `source` the name `target`, in the place of what had it; waits if Windows refuses.

    It waits for five seconds, for a folder half a minute. Raises PermissionError, saying what to do, if another process
    keeps one of the two open on Windows; OSError as the system does.
    """
    waits_s = _RENAME_WAITS_S + (_MORE_WAITS_S if source.is_dir() else ())
    try:
        _while_held(lambda: source.replace(target), waits_s)
    except OSError as error:
        if not _is_held(error):
            raise
        why = "it is in use; close what has it open (an editor or a virus scanner, say)"
        raise PermissionError(errno.EACCES, why, str(target)) from error


def remove_file(path: Path) -> None:
    """Remove a file if it is there; waits for some seconds if Windows refuses. Raises OSError if it stays."""
    _while_held(lambda: path.unlink(missing_ok=True), _RENAME_WAITS_S)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it; waits for some seconds if Windows refuses.

    Raises OSError if a part of it stays.
    """
    remove_tree(folder)
    for wait_s in _RENAME_WAITS_S if _is_windows() else ():
        if not os.path.lexists(folder):
            return
        time.sleep(wait_s)
        remove_tree(folder)
    if os.path.lexists(folder):
        shutil.rmtree(folder)  # which says what it could not remove


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk.

    Windows has no handle on a folder to sync, and opens no file for it that is read-only or stays in use: such a file
    is whole, and its flush is left out.
    """
    if not _is_windows():
        handle = os.open(path, os.O_RDONLY)
    elif path.is_dir():
        return
    else:
        waits_s = _RENAME_WAITS_S if os.access(path, os.W_OK) else ()
        try:
            handle = _while_held(lambda: os.open(path, os.O_RDWR), waits_s)
        except PermissionError:
            return
    try:
        _force(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that know no sync have nothing to lose
            raise
    finally:
        os.close(handle)


def _force(handle: int) -> None:
    if sys.platform == "darwin":  # its fsync leaves the data in the drive's cache
        with suppress(OSError):  # a network's or another system's disk knows fsync alone
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


def sync_tree(folder: Path) -> None:
    """Force a folder and all below it to the disk, so that after a power cut the renamed folder is not an empty one."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def _while_held(call: Callable[[], T], waits_s: Sequence[float]) -> T:
    """Call again after each wait while Windows refuses since another process has the file open; return the result."""
    for wait_s in waits_s:
        try:
            return call()
        except OSError as error:
            if not _is_held(error):
                raise
        time.sleep(wait_s)
    return call()


def _is_held(error: OSError) -> bool:
    is_refused = isinstance(error, PermissionError) or getattr(error, "winerror", None) == _MAPPED
    return is_refused and _is_windows()


def _is_windows() -> bool:
    return os.name == "nt"

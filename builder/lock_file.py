"""A lock file that processes take one after the other: the next one waits, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from contract.errors import SubmodelError
from contract.files.disk_errors import DISK_ERRORS
from contract.progress import OnEvent, no_event


class LockError(SubmodelError):
    """A lock file can't be locked."""


def open_lock(path: Path, timeout_s: float = -1) -> FileLock:
    """Return the lock of the file `path`, not yet acquired. A negative `timeout_s` waits without end.

    On a disk without locks, acquiring it is an OSError: the marker file that filelock would make instead outlives a
    killed holder.
    """
    return FileLock(path, timeout=timeout_s, fallback_to_soft=False)


@contextmanager
def hold_lock(path: Path, on_event: OnEvent = no_event) -> Iterator[None]:
    """Hold the lock file `path`, whose folder exists; waits until no other process has it.

    `on_event` gets a sentence if it has to wait.

    Raises LockError if the folder's disk can't lock (some network drives), or the file is a link, and OSError if the
    disk is full or can't be written.
    """
    lock = open_lock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_event(f"Waiting for another submodel command that is using {path.parent}")
            lock.acquire()
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise
        raise LockError(f"{cannot_lock(path, error)}.") from error
    try:
        yield
    finally:
        lock.release()


def cannot_lock(path: Path, error: OSError) -> str:
    """Return the sentence for a file that can't be locked, without its full stop."""
    why = error.strerror or error
    return f"{path} can't be locked ({why}); remove it if it is a link, or choose a folder on a disk of this machine"

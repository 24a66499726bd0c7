"""One build a folder: the second one says who holds it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from builder.errors import BuildError
from builder.folders import write_json

LOCK, OWNER = "lock", "lock.json"  # the system frees the first when its holder ends, however that happens


@contextmanager
def build_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` (that exists) for one build.

    Raises BuildError, naming the holder, where another one has it, and where the folder's disk can't lock (some
    network drives), or the lock is a link.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BuildError(f"Another build{_owner(folder)} is writing to {folder}; wait for it, or stop it.") from error
    except OSError as error:
        raise BuildError(
            f"{folder / LOCK} can't be locked ({error.strerror or error}); remove it if it is a link, or choose a "
            "folder on a disk of this machine with -o."
        ) from error
    try:
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        write_json(folder / OWNER, {"process": os.getpid(), "machine": platform.node(), "started": started})
        yield
    finally:
        lock.release()


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text("utf-8"))
        return f" (process {owner['process']} on {owner['machine']}, since {owner['started']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""

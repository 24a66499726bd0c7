"""The lock of a folder that commands write to: one at a time, and a second one says which command holds it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import Timeout

from builder.lock_file import cannot_lock, open_lock
from contract.bundle.bundle import WORKSPACE_BUNDLE
from contract.errors import BuildError
from contract.files.whole_files import write_json
from contract.progress import OnEvent
from submodel.build.paths import prepare_output

RETRY_S = 5.0
LOCK, OWNER = "lock", "lock.json"  # the system frees the first when its holder ends, however that happens


class LockedError(BuildError):
    """A folder that another command holds, or that can't be locked."""


class HeldError(LockedError):
    """A folder that another command holds: it is free when that one ends."""


@contextmanager
def build_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` (that exists) for one command.

    Raises HeldError, naming the holder, if another one has it, and another LockedError if the folder's disk can't lock
    (some network drives), or the lock is a link.
    """
    lock = open_lock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise HeldError(
            f"Another submodel command{_owner(folder)} is writing to {folder}; wait for it, or stop it."
        ) from error
    except OSError as error:
        raise LockedError(f"{cannot_lock(folder / LOCK, error)} with -o.") from error
    try:
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        write_json(folder / OWNER, {"process": os.getpid(), "machine": platform.node(), "started": started})
        yield
    finally:
        try:
            with suppress(OSError):  # the disk is full, say
                write_json(folder / OWNER, {})  # else the next holder would have this one's name at first
        finally:
            lock.release()


def when_free(work: Callable[[], object], on_event: OnEvent, wait_s: float) -> None:
    """Call `work` as soon as no other command holds the folder that it locks; says once who does.

    Raises HeldError if it is held for longer than `wait_s` seconds, and another LockedError, which no waiting mends, at
    once.
    """
    until_s, said = time.monotonic() + wait_s, ""
    while True:
        try:
            work()
            return
        except HeldError as error:
            if time.monotonic() > until_s:
                raise
            if str(error) != said:
                said = str(error)
                on_event(said)
            time.sleep(RETRY_S)


@contextmanager
def bundle_lock(target: Path) -> Iterator[None]:
    """Hold the folder of a workspace's bundle, made if there is none, or that of a build's; others need no lock.

    Raises LockedError as `build_lock` does, and BuildError as `prepare_output` does.
    """
    target = target.absolute()
    if target.parts[-2:] == WORKSPACE_BUNDLE.parts:
        prepare_output(target.parent)
    elif target.name != WORKSPACE_BUNDLE.name or not (target.parent / OWNER).is_file():
        yield
        return
    with build_lock(target.parent):
        yield


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text("utf-8"))
        return f" (process {owner['process']} on {owner['machine']}, since {owner['started']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""

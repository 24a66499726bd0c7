"""The state of each bundle that a service knows, and whether another build has replaced one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from contract.bundle.manifest import build_of
from contract.errors import SubmodelError

RETRY_S = 60.0  # until a build that could not take the place of the one that answers is tried once more
LOOK_S = 5.0  # between two looks at whether another build has replaced a bundle


class BundleState(StrEnum):
    """State of a bundle; the values are the protocol's."""

    LOADING = "loading"
    READY = "ready"
    UNLOADED = "unloaded"
    FAILED = "failed"
    UNTRUSTED = "untrusted"  # found, but neither this account's nor trusted: nothing of it is loaded


@dataclass(frozen=True, kw_only=True)
class BundleStatus:
    """A bundle's state, and the error if it failed."""

    state: BundleState
    error: str | None = None
    threads: int | None = None
    provider: str | None = None  # where it runs, and why there
    build: str | None = None  # which build is in memory: SHA-256 of its bundle.json


class BundleStates:
    """Statuses by bundle folder. The worker's thread sets them, the event loop's reads them.

    `on_change` is called from the thread that made a change. `now` is a monotonic clock in seconds.
    """

    def __init__(self, on_change: Callable[[], None], now: Callable[[], float] = time.monotonic) -> None:
        self.by_folder: dict[Path, BundleStatus] = {}  # replaced as a whole, never changed
        self._on_change = on_change
        self._now = now
        self._lock = threading.Lock()
        self._looked_at: dict[Path, float] = {}
        self._tried: dict[Path, tuple[str, float]] = {}  # the build that was last due, and when that was

    def set(self, folder: Path, status: BundleStatus) -> None:
        """Give a bundle a status."""
        with self._lock:
            self.by_folder = {**self.by_folder, folder: status}
        self._on_change()

    def set_loading(self, folder: Path) -> None:
        """Note that a bundle is about to be loaded; whether it was replaced is looked at LOOK_S seconds later."""
        self._looked_at[folder] = self._now()
        self.set(folder, BundleStatus(state=BundleState.LOADING))

    def forget(self, folder: Path | None) -> None:
        """Drop the status of one bundle, or of all."""
        with self._lock:
            self.by_folder = {key: value for key, value in self.by_folder.items() if folder not in (None, key)}
        self._on_change()

    def build_of(self, folder: Path) -> str | None:
        """Return which build of a bundle answers, or answered last: SHA-256 of its bundle.json; None before that."""
        status = self.by_folder.get(folder)
        return status.build if status is not None else None

    def take_replacement(self, folder: Path) -> bool:
        """Return whether another build has replaced a bundle and is to be loaded now; note that it was."""
        status, now = self.by_folder.get(folder), self._now()
        if status is None or status.state is BundleState.LOADING:
            return False
        if now - self._looked_at.get(folder, -LOOK_S) < LOOK_S:
            return False
        self._looked_at[folder] = now
        try:
            build = build_of(folder)
        except SubmodelError:  # it is being replaced, or gone
            return False
        if build == status.build:
            return False
        tried, at_s = self._tried.get(folder, (None, 0.0))
        is_failed = status.state is BundleState.FAILED
        if tried == build and (is_failed or (status.state is BundleState.READY and now - at_s < RETRY_S)):
            return False
        self._tried[folder] = build, now
        return True

    def is_current(self, folder: Path) -> bool:
        """Return whether the build that answers is the one that lies in the folder."""
        try:
            return build_of(folder) == self.build_of(folder)
        except SubmodelError:
            return False

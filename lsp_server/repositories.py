"""The repositories of a workspace, read in the background: how far each has changed since the build of its bundle.

Reading takes a second for ten megabytes. Nothing is kept on disk.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from contract.documents import DriftFacts
from contract.errors import SubmodelError
from contract.files.file_names import path_below
from lsp_server.bundle_finder import read_manifest, workspace_of
from lsp_server.drift import Drift, measure_drift, read_current_texts

log = logging.getLogger(__name__)

REREAD_S = 1800.0


def is_of(root: Path, folders: Sequence[Path]) -> bool:
    """Whether a repository lies in one of these folders of a workspace, or holds one."""
    pairs = [pair for folder in folders for pair in ((root, folder), (folder, root))]
    return any(path_below(one, other) is not None for one, other in pairs)


class Repositories:
    """One client's. All methods are called from the event loop's thread."""

    def __init__(self, on_drift: Callable[[Path, Drift], None] = lambda root, drift: None) -> None:
        self._drifts: dict[Path, DriftFacts] = {}  # by bundle
        self._on_drift = on_drift
        self._timers: dict[Path, asyncio.TimerHandle] = {}
        self._wanted: dict[Path, Callable[[], None]] = {}  # by repository, the newest reading that has not begun
        self._is_reading = False
        self._generations: dict[Path, int] = {}  # how often a reading of it was asked for

    def drift_of(self, bundle: Path) -> DriftFacts | None:
        """As it stands in the status; None where it is not known (yet)."""
        return self._drifts.get(bundle)

    def keep(self, folders: Sequence[Path]) -> None:
        """Forget all repositories but those that these folders lie in or hold."""
        gone = {root for root in self._timers if not is_of(root, folders)}
        for root in gone:
            self._stop(root)
        self._drifts = {bundle: drift for bundle, drift in self._drifts.items() if workspace_of(bundle) not in gone}

    def forget_readings(self) -> None:
        """Let everything be read anew, as after a build."""
        for root in [*self._timers]:
            self._stop(root)
        self._drifts = {}

    def read_once(self, root: Path, bundle: Path | None) -> None:
        """As `read`, where that has not begun."""
        if root not in self._timers:
            self.read(root, bundle)

    def read(self, root: Path, bundle: Path | None) -> None:
        """Begin to read a repository, now and every half hour.

        `bundle` serves it. If that was built of another repository, or of none, nothing is read.
        """
        self._stop(root)
        if bundle is None or workspace_of(bundle) != root:
            return
        loop = asyncio.get_running_loop()
        generation = self._generations[root] = self._generations.get(root, 0) + 1

        def work() -> None:
            drift: Drift | None = None
            try:
                drift = measure_drift(read_current_texts(root), read_manifest(bundle))
            except SubmodelError as error:
                log.warning("The repository can't be read: %s", error)
            finally:
                with suppress(RuntimeError):  # the loop is closed: the client has left
                    loop.call_soon_threadsafe(self._finish, root, generation, bundle, drift)

        self._wanted[root] = work
        self._begin()
        self._timers[root] = loop.call_later(REREAD_S, self.read, root, bundle)

    def close(self) -> None:
        """Read no more."""
        for timer in self._timers.values():
            timer.cancel()

    def _begin(self) -> None:
        """Start the next reading, one at a time."""
        if not self._is_reading and self._wanted:
            self._is_reading = True
            work = self._wanted.pop(next(iter(self._wanted)))
            # A daemon: a server whose client has left does not wait for it.
            threading.Thread(target=work, name="repository", daemon=True).start()

    def _finish(self, root: Path, generation: int, bundle: Path, drift: Drift | None) -> None:
        """A reading is over; it counts unless a newer one was asked for."""
        self._is_reading = False
        if drift is not None and generation == self._generations.get(root):
            self._take(root, bundle, drift)
        self._begin()

    def _stop(self, root: Path) -> None:
        self._wanted.pop(root, None)
        timer = self._timers.pop(root, None)
        if timer is not None:
            timer.cancel()

    def _take(self, root: Path, bundle: Path, drift: Drift) -> None:
        if root not in self._timers:
            return  # it was forgotten meanwhile
        self._drifts[bundle] = drift.to_json(root)
        self._on_drift(root, drift)

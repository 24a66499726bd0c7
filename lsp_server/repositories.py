"""Reads a workspace's repositories in the background, and measures how far each has changed since its build.

Reading takes a second for ten megabytes. Nothing is kept on disk.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from contract.bundle.manifest import build_of
from contract.bundle.previous import PREVIOUS
from contract.bundle.pulled_builds import pulled_from
from contract.documents import DriftFacts
from contract.errors import SubmodelError
from contract.files.file_names import path_below
from lsp_server.bundle_finder import manifest_or_empty, workspace_of
from lsp_server.drift import MAX_REST_S, Drift, can_update, check_whole, measure_drift, read_current_hashes

log = logging.getLogger(__name__)

REREAD_S = 1800.0


def is_of(root: Path, folders: Sequence[Path]) -> bool:
    """Return whether a repository lies in one of a workspace's folders, or holds one."""
    pairs = [pair for folder in folders for pair in ((root, folder), (folder, root))]
    return any(path_below(one, other) is not None for one, other in pairs)


class Repositories:
    """The repositories of one client. All methods are called from the event loop's thread."""

    def __init__(
        self,
        on_drift: Callable[[Path, Drift], None] = lambda root, drift: None,
        may_reread: Callable[[], bool] = lambda: True,
        quiet_in_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`quiet_in_s` says in how many seconds a reading disturbs nobody, at the earliest; 0: now."""
        self._drifts: dict[Path, DriftFacts] = {}  # by bundle
        self._on_drift = on_drift
        self._may_reread = may_reread
        self._quiet_in_s = quiet_in_s
        self._next: asyncio.TimerHandle | None = None  # looks again whether it is quiet
        self._timers: dict[Path, asyncio.TimerHandle] = {}
        self._wanted: dict[Path, Callable[[], None]] = {}  # by repository, the newest reading that has not begun
        self._is_reading = False
        self._generations: dict[Path, int] = {}  # how often a reading of it was asked for

    def drift_of(self, bundle: Path) -> DriftFacts | None:
        """Return a bundle's drift as it stands in the status; None if it is not known (yet)."""
        return self._drifts.get(bundle)

    def keep(self, folders: Sequence[Path]) -> None:
        """Forget all repositories but those that these folders lie in or hold."""
        gone = {root for root in self._timers if not is_of(root, folders)}
        for root in gone:
            self._stop(root)
        self._drifts = {bundle: drift for bundle, drift in self._drifts.items() if workspace_of(bundle) not in gone}

    def forget_readings(self) -> None:
        """Forget what was read, so that it is read again, as after a build."""
        for root in [*self._timers]:
            self._stop(root)
        self._drifts = {}

    def read_once(self, root: Path, bundle: Path | None) -> None:
        """Call `read`, unless it was called for this repository already."""
        if root not in self._timers:
            self.read(root, bundle)

    def read(self, root: Path, bundle: Path | None) -> None:
        """Begin to read a repository once it is quiet, and every half hour in which `may_reread` allows it.

        `bundle` serves the repository. Nothing is read if it was built from another one, or from none, or if it is an
        earlier one that the user went back to: an update would go on from the one that they left.
        """
        self._stop(root)
        if bundle is None or workspace_of(bundle) != root or bundle.parent.name == PREVIOUS:
            return
        loop = asyncio.get_running_loop()
        generation = self._generations[root] = self._generations.get(root, 0) + 1
        rested_s = 0.0

        def rest() -> None:
            nonlocal rested_s
            while rested_s < MAX_REST_S and (wait_s := self._quiet_in_s()) > 0:
                time.sleep(wait_s)
                rested_s += wait_s

        def work() -> None:
            drift: Drift | None = None
            try:
                manifest = manifest_or_empty(bundle)
                corpus = manifest.get("corpus")
                facts = corpus if isinstance(corpus, dict) else {}
                check_whole(root, facts.get("skipped"))
                hashes = read_current_hashes(root, rest, is_git_s=facts.get("listed_by") == "git")
                drift = measure_drift(hashes, manifest)
                if drift is not None:
                    pulled = pulled_from(build_of(bundle))
                    drift = replace(drift, can_update=can_update(root, manifest, may_be_newer=True), pulled=pulled)
            except SubmodelError as error:
                log.warning("How far a repository has changed is not known: %s", error)
            except Exception:  # the thread would print it beside the log
                log.exception("The repository %s can't be read", root)
            finally:
                with suppress(RuntimeError):  # the loop is closed: the client has left
                    loop.call_soon_threadsafe(self._finish, root, generation, bundle, drift)

        self._wanted[root] = work
        self._begin()
        self._timers[root] = loop.call_later(REREAD_S, self._reread, root, bundle)

    def _reread(self, root: Path, bundle: Path) -> None:
        if self._may_reread():
            self.read(root, bundle)
        else:
            self._timers[root] = asyncio.get_running_loop().call_later(REREAD_S, self._reread, root, bundle)

    def close(self) -> None:
        """Begin no further readings."""
        for timer in (*self._timers.values(), self._next):
            if timer is not None:
                timer.cancel()

    def _begin(self) -> None:
        """Start the next reading, one at a time, once it is quiet."""
        if self._is_reading or not self._wanted:
            return
        if self._next is not None:
            self._next.cancel()
        quiet_in_s = self._quiet_in_s()
        if quiet_in_s > 0:  # it would take a core, and Python's lock, from a model that answers or is loaded
            self._next = asyncio.get_running_loop().call_later(quiet_in_s, self._begin)
            return
        self._is_reading = True
        work = self._wanted.pop(next(iter(self._wanted)))
        # A daemon: a server whose client has left does not wait for it.
        threading.Thread(target=work, name="repository", daemon=True).start()

    def _finish(self, root: Path, generation: int, bundle: Path, drift: Drift | None) -> None:
        """Take the result of a reading, unless a newer one was asked for, and start the next."""
        self._is_reading = False
        if generation == self._generations.get(root):
            self._take(root, bundle, drift)
        self._begin()

    def _stop(self, root: Path) -> None:
        self._wanted.pop(root, None)
        timer = self._timers.pop(root, None)
        if timer is not None:
            timer.cancel()

    def _take(self, root: Path, bundle: Path, drift: Drift | None) -> None:
        if root not in self._timers:
            return  # it was forgotten meanwhile
        if drift is None:  # it is not known any more
            self._drifts.pop(bundle, None)
            return
        self._drifts[bundle] = drift.to_json(root)
        self._on_drift(root, drift)

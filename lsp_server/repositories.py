"""The repositories of a workspace, read in the background: for pieces of other files, and for how far they have gone.

Reading takes a second for ten megabytes; until it is over there is neither. Nothing is kept on disk.
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
from contract.prompt import ContextSnippet
from lsp_server.bundle_finder import read_manifest, workspace_of
from lsp_server.context.finder import ContextFinder
from lsp_server.context.repository_index import RepositoryIndex, read_index
from lsp_server.drift import Drift, measure_drift
from lsp_server.options import ServerOptions
from lsp_server.request import CompletionRequest

log = logging.getLogger(__name__)

REREAD_S = 1800.0


def is_of(root: Path, folders: Sequence[Path]) -> bool:
    """Whether a repository lies in one of these folders of a workspace, or holds one."""
    pairs = [pair for folder in folders for pair in ((root, folder), (folder, root))]
    return any(path_below(one, other) is not None for one, other in pairs)


class Repositories:
    """One client's. All methods are called from the event loop's thread."""

    def __init__(self, on_drift: Callable[[Path, Drift], None] = lambda root, drift: None) -> None:
        self._finders: dict[Path, ContextFinder] = {}
        self._drifts: dict[Path, DriftFacts] = {}  # by bundle
        self._on_drift = on_drift
        self._timers: dict[Path, asyncio.TimerHandle] = {}
        self._wanted: dict[Path, Callable[[], None]] = {}  # by repository, the newest reading that has not begun
        self._is_reading = False
        self._generations: dict[Path, int] = {}  # how often a reading of it was asked for

    def finder(self, root: Path) -> ContextFinder:
        """What knows the other files of a repository."""
        return self._finders.setdefault(root, ContextFinder())

    def snippets(self, request: CompletionRequest) -> Sequence[ContextSnippet]:
        """Snippets of other files for a request; () for a document that is in no repository."""
        if request.root is None:
            return ()
        return self.finder(request.root).find(request.path, request.text, request.offset, request.options.context)

    def note(self, root: Path, path: str, text: str, offset: int) -> None:
        """The user is at a place in a file."""
        self.finder(root).recent.note(path, text, offset)

    def drift_of(self, bundle: Path) -> DriftFacts | None:
        """As it stands in the status; None where it is not known (yet)."""
        return self._drifts.get(bundle)

    def keep(self, folders: Sequence[Path]) -> None:
        """Forget all repositories but those that these folders lie in or hold."""
        gone = {root for root in (*self._finders, *self._timers) if not is_of(root, folders)}
        for root in gone:
            self._finders.pop(root, None)
            self._stop(root)
        self._drifts = {bundle: drift for bundle, drift in self._drifts.items() if workspace_of(bundle) not in gone}

    def forget_readings(self) -> None:
        """Let everything be read anew, as after a build; where the user was is kept."""
        for root in [*self._timers]:
            self._stop(root)
        self._drifts = {}

    def read_once(self, root: Path, bundle: Path | None, options: ServerOptions) -> None:
        """As `read`, where that has not begun."""
        if root not in self._timers:
            self.read(root, bundle, options)

    def read(self, root: Path, bundle: Path | None, options: ServerOptions) -> None:
        """Begin to read a repository where some option needs it, now and every half hour.

        `bundle` serves it; where it was built of another repository, or of none, there is no drift.
        """
        self._stop(root)
        context = options.context
        own = bundle if bundle is not None and workspace_of(bundle) == root else None
        if not ((options.drift and own is not None) or context.imports or context.similar):
            return
        loop = asyncio.get_running_loop()
        generation = self._generations[root] = self._generations.get(root, 0) + 1

        def work() -> None:
            index: RepositoryIndex | None = None
            drift: Drift | None = None
            try:
                index = read_index(root)
                drift = measure_drift(index.texts.values(), read_manifest(own)) if own is not None else None
            except SubmodelError as error:
                log.warning("The repository can't be read: %s", error)
            finally:
                with suppress(RuntimeError):  # the loop is closed: the client has left
                    loop.call_soon_threadsafe(self._finish, root, generation, own, index, drift)

        self._wanted[root] = work
        self._begin()
        self._timers[root] = loop.call_later(REREAD_S, self.read, root, bundle, options)

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

    def _finish(
        self, root: Path, generation: int, bundle: Path | None, index: RepositoryIndex | None, drift: Drift | None
    ) -> None:
        """A reading is over; it counts unless a newer one was asked for."""
        self._is_reading = False
        if index is not None and generation == self._generations.get(root):
            self._take(root, bundle, index, drift)
        self._begin()

    def _stop(self, root: Path) -> None:
        self._wanted.pop(root, None)
        timer = self._timers.pop(root, None)
        if timer is not None:
            timer.cancel()

    def _take(self, root: Path, bundle: Path | None, index: RepositoryIndex, drift: Drift | None) -> None:
        if root not in self._timers:
            return  # it was forgotten meanwhile
        self.finder(root).index = index
        if bundle is not None and drift is not None:
            self._drifts[bundle] = drift.to_json(root)
            self._on_drift(root, drift)

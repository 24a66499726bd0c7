"""The bundles in memory. Loading one too many frees the least recently used; one that crashes is loaded again."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from contract.bundle.manifest import build_of
from contract.bundle.trusted_builds import UntrustedError
from contract.errors import SubmodelError, first_line
from lsp_server.decoding.huge_pages import use_huge_pages
from lsp_server.decoding.providers import Provider
from lsp_server.serve_errors import ServeError

if TYPE_CHECKING:
    from lsp_server.completion import Completer

log = logging.getLogger(__name__)

MAX_LOADED = 2  # bundles in memory; a further one takes the place of the least recently used
MAX_CRASHES = 3  # of one bundle, one after the other: then it counts as failed until it is loaded again


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


def _stamp() -> tuple[int, int] | None:
    """Of the module that is imported with the first bundle: its time and size; None if it is gone."""
    try:
        status = Path(__file__).with_name("completion.py").stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


_STAMP = _stamp()  # as the server started


class LoadedBundles:
    """The completers of one worker. Its thread calls all methods.

    open_completer: of a bundle's folder, for so many threads, and the build whose files were verified just now, if any.
    verify: the bundle in a folder; it returns the build, or raises SubmodelError.
    """

    def __init__(
        self,
        states: BundleStates,
        open_completer: Callable[[Path, int | None, str | None], Completer],
        verify: Callable[[Path], str],
    ) -> None:
        self.completers: OrderedDict[Path, Completer] = OrderedDict()  # the last used is last
        self.is_loading = False
        self._states, self._open, self._verify = states, open_completer, verify
        self._ready: dict[Path, BundleStatus] = {}  # of each completer that was loaded
        self._crashes: Counter[Path] = Counter()  # since the last answer

    def get(self, folder: Path, threads: int | None) -> Completer | None:
        """Return a bundle's completer if it is in memory for so many threads."""
        status = self._states.by_folder.get(folder)
        return self.completers.get(folder) if status is not None and status.threads == threads else None

    def use(self, folder: Path, threads: int | None) -> Completer:
        """Return a bundle's completer, loaded for so many threads if need be; it was the last used then."""
        if folder not in self.completers:
            self.load(folder, threads)
        self.completers.move_to_end(folder)
        return self.completers[folder]

    def load(self, folder: Path, threads: int | None) -> None:
        """Load a bundle, again if it is loaded. Raises SubmodelError; its state says why.

        What is in memory stays there if the files are not whole, as while another bundle is copied over them.
        """
        self.is_loading = True
        try:
            self._states.set(folder, BundleStatus(state=BundleState.LOADING))
            build = self._verify(folder) if folder in self.completers else None
            self._drop(folder)  # else it, or one that has crashed, would stay in memory beside the new one
            completer = self._open(folder, threads, build)
        except UntrustedError as error:  # replaced since it was found; once it is trusted the next request loads it
            self._drop(folder)
            self._states.set(folder, BundleStatus(state=BundleState.UNTRUSTED, error=str(error), build=error.build))
            raise
        except SubmodelError as error:
            if folder in self.completers:
                log.warning("%s is not loaded again; the model in memory goes on answering. %s", folder, error)
                self._states.set(folder, self._ready.get(folder, BundleStatus(state=BundleState.READY)))
            else:
                self._states.set(folder, BundleStatus(state=BundleState.FAILED, error=str(error)))
            raise
        except Exception as error:  # a library's: out of memory, ONNX Runtime, a file that nobody checked
            log.exception("Loading %s failed", folder)
            if isinstance(error, ImportError) or _stamp() != _STAMP:  # what is in memory and on disk is of two versions
                reported = (
                    f"submodel was upgraded while this server ran, or is damaged ({first_line(error, 200)}); restart "
                    "the language server, and install submodel again if that does not help."
                )
            else:
                reported = f"{folder} can't be loaded ({first_line(error, 200)}); build it again."
            self._states.set(folder, BundleStatus(state=BundleState.FAILED, error=reported))
            raise ServeError(reported) from error
        finally:
            self.is_loading = False
        self.completers[folder] = completer
        provider = f"{completer.choice.provider}: {completer.choice.why}"
        status = BundleStatus(state=BundleState.READY, threads=threads, provider=provider, build=completer.build)
        self._ready[folder] = status
        self._states.set(folder, status)
        log.info("Serving %s", folder)
        while len(self.completers) > MAX_LOADED:
            self.unload(next(iter(self.completers)))
        if completer.choice.provider is Provider.CPU:  # beside the first request, which need not wait for it
            threading.Thread(target=use_huge_pages, name="huge pages", daemon=True).start()

    def _drop(self, folder: Path) -> None:
        """Free a bundle's model, or what a crash has left of it; its state is the caller's."""
        self.completers.pop(folder, None)
        gc.collect()

    def unload(self, folder: Path | None, *, forget: bool = False) -> None:
        """Free one bundle's memory, or that of all; `forget` drops the state too."""
        loaded = len(self.completers)
        for one in [*self.completers] if folder is None else [folder]:
            if self.completers.pop(one, None) is not None:
                if not forget:  # else the status would say meanwhile that the next request loads it again
                    build = self._states.build_of(one)
                    self._states.set(one, BundleStatus(state=BundleState.UNLOADED, build=build))
                log.info("Freed %s", one)
        gc.collect()  # sessions hold their memory until then
        if len(self.completers) < loaded:
            from lsp_server.decoding.runtime import return_freed_memory  # loaded by now, with the models

            return_freed_memory()
        if forget:
            self._states.forget(folder)

    def note_answer(self, folder: Path) -> None:
        """Note that a bundle has answered: its crashes are counted from 0 again."""
        self._crashes.pop(folder, None)

    def note_crash(self, folder: Path, error: str) -> str:
        """Drop an engine whose state is unknown, and return the message. After MAX_CRASHES in a row it has failed.

        The caller holds no exception of the engine: its traceback would keep the model in memory.
        """
        self._drop(folder)
        self._crashes[folder] += 1
        reported = f"The model of {folder} failed ({error})"
        if self._crashes[folder] < MAX_CRASHES:
            self._states.set(folder, BundleStatus(state=BundleState.UNLOADED))
            return f"{reported}; it is loaded again."
        del self._crashes[folder]
        reported = f"{reported} {MAX_CRASHES} times in a row; build it again."
        self._states.set(folder, BundleStatus(state=BundleState.FAILED, error=reported))
        return reported

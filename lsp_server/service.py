"""Completions for an event loop: one worker thread owns the models, and the newest request wins.

The service knows nothing of the protocol. Requests wait in the worker's queue: one that comes while a model loads is
answered after that. An older request that still runs is stopped at its next token, or chunk of the prompt. A bundle is
loaded when it is first asked for, freed when it has been idle, and loaded again at the next request.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from contract.bundle.bundle import read_bundle, verify_bundle
from contract.bundle.trusted_builds import check_trusted
from contract.errors import SubmodelError, first_line
from lsp_server.decoding.providers import Provider
from lsp_server.loaded_bundles import BundleState, BundleStates, BundleStatus, LoadedBundles
from lsp_server.request import Completion, CompletionRequest
from lsp_server.serve_errors import EngineCrash, ServeError

if TYPE_CHECKING:
    from lsp_server.completion import Completer

log = logging.getLogger(__name__)

QUIET_S = 5.0  # without a request, until a bundle is loaded again: for another build, or another number of threads

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """A thread that runs jobs one after the other."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="completion")
        self._is_closed = False
        self.is_idle = True  # no job runs

    def submit(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a job after those that were submitted before; once the worker is closed, return a cancelled one."""
        if self._is_closed:
            cancelled: Future[T] = Future()
            cancelled.cancel()
            return cancelled
        waiting = [partial(self._run, job, *args, **kwargs)]
        future = self._executor.submit(lambda: waiting.pop()())
        # Python's queue keeps what is cancelled until its turn comes, and a request holds a whole document.
        future.add_done_callback(lambda _: waiting.clear())
        return future

    def close(self) -> None:
        """Begin no further job. Jobs that wait are cancelled; the one that runs goes on."""
        self._is_closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.is_idle = False
        try:
            return job(*args, **kwargs)
        except Exception:
            raise
        except BaseException as error:  # a panic of the tokenizers library: nobody else would answer the request
            reported = f"The model's library failed ({first_line(error, 200)}); build the bundle again."
            raise ServeError(reported) from error
        finally:
            self.is_idle = True


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the worker has read ahead, and the processor time that all threads of the process took meanwhile."""

    tokens: int = 0
    core_s: float = 0.0
    was_ended: bool = False  # by a request or another reading


class CompletionService:
    """All methods are called from the event loop's thread; `on_change` and `is_named` are called from the worker's.

    `is_named` says which bundle the command line has named; all others must be trusted.
    """

    def __init__(
        self,
        on_change: Callable[[], None] = lambda: None,
        is_named: Callable[[Path], bool] = lambda bundle: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.states = BundleStates(on_change, now)
        self.provider = Provider.AUTO  # of bundles that are loaded from now on
        self._is_named = is_named
        self._worker = Worker()
        self._loaded = LoadedBundles(self.states, self._open, self._verify)  # the worker's
        self._waiting: Future[Completion | None] | None = None  # the newest request's
        self._newest = threading.Event()  # set: the request that it belongs to is not wanted any more
        self._reading = threading.Event()  # set: reading ahead ends at its next chunk
        self._idle: asyncio.TimerHandle | None = None
        self._quiet: dict[Path, asyncio.TimerHandle] = {}  # by bundle

    @property
    def bundles(self) -> dict[Path, BundleStatus]:
        """The status of each bundle that was asked for or noted, by its folder; replaced as a whole, never changed."""
        return self.states.by_folder

    def load(self, bundle_folder: Path, threads: int | None) -> Future[None]:
        """Load a bundle in the worker, again if it is loaded. The future raises a SubmodelError if that fails."""
        self.states.set_loading(bundle_folder)
        return self._worker.submit(self._loaded.load, bundle_folder, threads)

    def follow_build(self, bundle_folder: Path, threads: int | None) -> Future[None] | None:
        """Load a bundle again if another build has replaced it; the future of that, or None."""
        return self.load(bundle_folder, threads) if self.states.take_replacement(bundle_folder) else None

    def keep_current(
        self, bundle_folder: Path, threads: Callable[[], int | None], on_build: Callable[[], None] = lambda: None
    ) -> None:
        """Load a bundle again if another build has replaced it, or if it is to run with another number of threads."""

        def look() -> None:
            self._quiet.pop(bundle_folder, None)
            if self.follow_build(bundle_folder, threads()) is not None:
                on_build()
                return
            ready = self._ready(bundle_folder)
            has_others = ready is not None and ready.threads != threads()
            if has_others and self.states.is_current(bundle_folder):  # else the build there can't be loaded yet
                self.load(bundle_folder, threads())

        if (timer := self._quiet.pop(bundle_folder, None)) is not None:
            timer.cancel()
        if self._ready(bundle_folder) is not None:
            self._quiet[bundle_folder] = asyncio.get_running_loop().call_later(QUIET_S, look)
        else:
            look()

    def _ready(self, bundle_folder: Path) -> BundleStatus | None:
        """Return the status of a bundle that answers. It is looked up once: the worker may forget it at any time."""
        status = self.bundles.get(bundle_folder)
        return status if status is not None and status.state is BundleState.READY else None

    def note_unloaded(self, bundle_folder: Path) -> None:
        """Give a bundle that nobody has asked yet its place in the status."""
        if bundle_folder not in self.bundles:
            self.states.set(bundle_folder, BundleStatus(state=BundleState.UNLOADED))

    def unload(self, bundle_folder: Path | None = None, *, forget: bool = False) -> Future[None]:
        """Free one bundle's memory, or that of all; `forget` drops the state too. The next request loads it again."""
        return self._worker.submit(self._loaded.unload, bundle_folder, forget=forget)

    def free_when_idle(self, minutes: float) -> None:
        """Free all models after so many minutes, unless this is called again before; 0 keeps them."""
        if self._idle is not None:
            self._idle.cancel()
        if minutes > 0:
            self._idle = asyncio.get_running_loop().call_later(minutes * 60, self.unload)

    def supersede(self) -> threading.Event:
        """Cancel all earlier requests. Return the event that is set once the new request is not wanted any more.

        A request that the worker has not begun ends at once; one that runs ends at its next token or chunk.
        """
        self._newest.set()
        self._reading.set()
        if self._waiting is not None:
            self._waiting.cancel()
        self._newest = threading.Event()
        return self._newest

    def is_newest(self, unwanted: threading.Event) -> bool:
        """Return whether no request came after the one that got this event."""
        return self._newest is unwanted

    async def complete(
        self, request: CompletionRequest, unwanted: threading.Event | None = None, *, may_load: bool = True
    ) -> Completion | None:
        """Return what to show; None if a newer request came. Raises SubmodelError if the model can't answer.

        `unwanted` is what `supersede` gave. Cancelling the task stops the model, too. Without `may_load` the answer is
        None if the bundle is not in memory.
        """
        unwanted = unwanted or self.supersede()
        if unwanted.is_set():
            return None
        self._reading.set()
        loop = asyncio.get_running_loop()

        def forget(answer: Future[Completion | None]) -> None:
            with suppress(RuntimeError):  # the loop is closed: the client has left
                loop.call_soon_threadsafe(self._forget_waiting, answer)

        answer = self._waiting = self._worker.submit(self._complete, request, unwanted, time.perf_counter(), may_load)
        answer.add_done_callback(forget)
        try:
            return await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            if _is_dropped(answer):
                return None  # by `supersede`
            raise
        finally:
            unwanted.set()

    def _forget_waiting(self, answer: Future[Completion | None]) -> None:
        """Hold no answer that has come: it may be an error, whose traceback holds a model that is to be freed."""
        if self._waiting is answer:
            self._waiting = None

    def build_of(self, bundle_folder: Path) -> str | None:
        """Return which build of a bundle answers, or answered last: SHA-256 of its bundle.json; None before that."""
        return self.states.build_of(bundle_folder)

    def is_answering(self) -> bool:
        """Return whether a request waits for its answer, or one that was made ahead."""
        return self._waiting is not None and not self._waiting.done()

    def can_read_ahead(self, bundle_folder: Path, threads: int | None) -> bool:
        """Return whether the worker is free and has the bundle in memory, as a request with `threads` would use it."""
        ready = self._ready(bundle_folder)
        return not self.is_answering() and ready is not None and ready.threads == threads

    async def read_ahead(
        self,
        request: CompletionRequest,
        max_core_s: float,
        first_key: CompletionRequest | None = None,
        on_answer: Callable[[Completion], None] = lambda completion: None,
        is_short_enough: bool = False,
    ) -> Reading:
        """Read the prompt that `complete` would use, for at most `max_core_s` seconds of the cores and a chunk more.

        `first_key`, the request of the likeliest first key, is answered meanwhile; on_answer gets its answers, a later
        one from more of the text. A request, or another reading, ends it at its next chunk or token. With
        `is_short_enough` no whole prompt is read behind a short one. No model is loaded for a reading.
        """
        self._reading.set()
        unwanted, loop = threading.Event(), asyncio.get_running_loop()
        self._reading = unwanted

        def tell(completion: Completion) -> None:
            with suppress(RuntimeError):  # the loop is closed: the client has left
                loop.call_soon_threadsafe(on_answer, completion)

        try:
            job = self._worker.submit(self._read_ahead, request, unwanted, max_core_s, first_key, tell, is_short_enough)
            return await asyncio.wrap_future(job)
        except ServeError:  # a request will say so
            return Reading()
        finally:
            unwanted.set()

    async def recall(self, request: CompletionRequest) -> Completion | None:
        """Return what the text at hand has at the cursor, without the model; None if the bundle is not in memory."""
        try:
            return await asyncio.wrap_future(self._worker.submit(self._recall, request))
        except ServeError:  # a request will say so
            return None

    async def forget(self) -> None:
        """Free the memory of all bundles, and forget their states."""
        await asyncio.wrap_future(self.unload(forget=True))

    def close(self) -> None:
        """Stop what runs and let the worker end."""
        for timer in (self._idle, *self._quiet.values()):
            if timer is not None:
                timer.cancel()
        self._newest.set()
        self._reading.set()
        self._worker.close()

    def end_process_if_busy(self, within_s: float) -> None:
        """End the process if native code runs after `within_s` seconds: Python would wait for it for ever."""
        until = time.monotonic() + within_s
        while not self._loaded.is_loading and not self._worker.is_idle and time.monotonic() < until:
            time.sleep(0.01)
        if self._loaded.is_loading:
            logging.shutdown()
            os._exit(0)
        if not self._worker.is_idle:
            log.error("The model does not come back; the server ends without it.")
            logging.shutdown()
            os._exit(1)

    def _open(self, folder: Path, threads: int | None, build: str | None) -> Completer:
        """Load a bundle, whose files were verified just now if `build` is given."""
        with ThreadPoolExecutor(1, "verify") as beside:
            verified = beside.submit(self._verify, folder) if build is None else None
            # Imported here: ONNX Runtime loads slowly, and the answer to `initialize` need not wait for it.
            from lsp_server.completion import open_completer
        if verified is not None:
            with suppress(SubmodelError):  # opening it will say what is wrong
                build = verified.result()
        is_named = self._is_named(folder)
        return open_completer(folder, threads=threads, provider=self.provider, verified_build=build, is_named=is_named)

    def _verify(self, folder: Path) -> str:
        return _verified_build(folder, self._is_named(folder))

    def _complete(
        self, request: CompletionRequest, unwanted: threading.Event, asked_at: float, may_load: bool
    ) -> Completion | None:
        if unwanted.is_set():
            return None
        queue_ms = (time.perf_counter() - asked_at) * 1000
        bundle = request.bundle
        assert bundle is not None, "the session asks nothing if no bundle was found"
        if not may_load and bundle not in self._loaded.completers:
            return None
        status = self.bundles.get(bundle)
        if status is not None and status.state is BundleState.FAILED:  # it was logged when it failed
            raise ServeError(status.error or "The model gave no answer.")
        crash: str | None = None
        try:
            completion = self._loaded.use(bundle, request.threads).complete(request, unwanted.is_set)
        except SubmodelError as error:
            log.error("No completion: %s", error)
            raise
        except EngineCrash as error:
            log.exception("The engine failed")
            crash = first_line(error, 200)
        except Exception as error:  # of the code that reads the document; the model is as good as before
            log.exception("No completion")
            reported = f"Nothing can be completed here ({first_line(error, 200)}); please report this."
            raise ServeError(reported) from error
        if crash is not None:  # not above: the traceback holds the model
            raise ServeError(self._loaded.note_crash(bundle, crash))
        self._loaded.note_answer(bundle)
        log.debug("%d tokens in %.0f ms", completion.tokens, completion.milliseconds)
        return replace(completion, queue_ms=queue_ms)

    def _read_ahead(
        self,
        request: CompletionRequest,
        unwanted: threading.Event,
        max_core_s: float,
        first_key: CompletionRequest | None,
        tell: Callable[[Completion], None],
        is_short_enough: bool,
    ) -> Reading:
        bundle = request.bundle
        assert bundle is not None, "the session reads nothing if no bundle was found"
        completer = self._loaded.get(bundle, request.threads)
        if completer is None:
            return Reading()
        began, tokens = time.process_time(), 0
        crash: str | None = None

        def stop() -> bool:
            return unwanted.is_set() or time.process_time() - began >= max_core_s

        if stop():
            return Reading(was_ended=unwanted.is_set())
        try:
            tokens = completer.read_ahead(request, stop, first_key, tell, is_short_enough)
        except SubmodelError as error:  # a request there will say so
            log.debug("Nothing read ahead: %s", error)
            return Reading(core_s=time.process_time() - began)
        except EngineCrash as error:
            log.exception("The engine failed")
            crash = first_line(error, 200)
        except Exception:  # of the code that reads the document
            log.exception("Nothing read ahead")
            return Reading(core_s=time.process_time() - began)
        if crash is not None:
            self._loaded.note_crash(bundle, crash)
        log.debug("%d tokens read ahead", tokens)
        return Reading(tokens=tokens, core_s=time.process_time() - began, was_ended=unwanted.is_set())

    def _recall(self, request: CompletionRequest) -> Completion | None:
        completer = self._loaded.completers.get(request.bundle) if request.bundle is not None else None
        try:
            return completer.recall(request) if completer is not None else None
        except Exception:  # of the code that reads the document
            log.exception("Nothing recalled")
            return None


def _is_dropped(job: Future[Any]) -> bool:
    """Return whether a job was cancelled before its worker came to it, and not the task that waits for it."""
    task = asyncio.current_task()
    return job.cancelled() and task is not None and not task.cancelling()


def _verified_build(folder: Path, is_named: bool) -> str:
    """Return the build of a bundle whose files are as its manifest says; raises SubmodelError if they are not."""
    bundle = read_bundle(folder, verify=False)
    if not is_named:  # else nothing of it is read
        check_trusted(folder, bundle.build)
    verify_bundle(bundle)
    return bundle.build

"""One thread for native code. The thread can't be interrupted; it is watched, and given up if it does not return."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from contract.errors import first_line
from lsp_server.serve_errors import ServeError

SILENT_S = 30.0  # between two beats: a token or a chunk of a prompt takes a second at most

P = ParamSpec("P")
T = TypeVar("T")


class GivenUp(BaseException):
    """Ends a thread that comes back after it was given up; `except Exception` must not hold it."""


class Worker:
    """A thread that runs jobs one after the other. Each job calls `beat` between two calls of native code."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="completion")
        self._is_closed = False
        self._thread: int | None = None
        self._due_s: float | None = None  # when the next beat must have come, by time.monotonic(); None between jobs
        self._silent_s = SILENT_S  # what the last beat asked for
        self._looked_s = 0.0  # when somebody looked last whether the job goes on
        self._went_on_s = 0.0  # when somebody looked again after a long time
        self._excused_s: float | None = None  # the beat that was due then

    def submit(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a job after those that were submitted before; once the worker is closed, return a cancelled one."""
        if self._is_closed:
            cancelled: Future[T] = Future()
            cancelled.cancel()
            return cancelled
        if self._due_s is None:  # it begins now
            self._looked_s = time.monotonic()
        waiting = [partial(self._run, job, *args, **kwargs)]
        future = self._executor.submit(lambda: waiting.pop()())
        # Python's queue keeps what is cancelled until its turn comes, and a request holds a whole document.
        future.add_done_callback(lambda _: waiting.clear())
        return future

    def beat(self, silent_s: float = SILENT_S) -> None:
        """Note that the job goes on, and that it may be silent for `silent_s` seconds from now on.

        Raises GivenUp in the thread of a worker that was replaced.
        """
        if threading.get_ident() != self._thread:
            raise GivenUp
        self._silent_s = silent_s
        self._due_s = time.monotonic() + silent_s

    def is_stuck(self) -> bool:
        """Return whether a job has been silent for longer than it may."""
        due_s = self._due_s
        return due_s is not None and time.monotonic() > max(due_s, self._went_on_s + self._silent_s)

    def note_look(self, at_most_s: float) -> None:
        """Note that somebody looks at the job now; after more than `at_most_s` it may be silent for as long again.

        The process may have stood still meanwhile, as after SIGSTOP, and the clock went on. A silence gets its time
        again once: a client that asks now and then would otherwise keep a stuck job for ever.
        """
        now_s, due_s = time.monotonic(), self._due_s
        if now_s - self._looked_s > at_most_s and due_s != self._excused_s:
            self._went_on_s, self._excused_s = now_s, due_s
        self._looked_s = now_s

    def is_idle(self) -> bool:
        """Return whether no job runs."""
        return self._due_s is None

    def close(self) -> None:
        """Begin no further job. Jobs that wait are cancelled; the one that runs goes on."""
        self._is_closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._thread = threading.get_ident()
        self.beat()
        try:
            return job(*args, **kwargs)
        except (Exception, GivenUp):
            raise
        except BaseException as error:  # a panic of the tokenizers library: nobody else would answer the request
            reported = f"The model's library failed ({first_line(error, 200)}); build the bundle again."
            raise ServeError(reported) from error
        finally:
            self._due_s = None

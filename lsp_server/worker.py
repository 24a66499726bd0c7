"""One thread for native code, which can't be interrupted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from contract.errors import first_line
from lsp_server.serve_errors import ServeError

log = logging.getLogger(__name__)

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

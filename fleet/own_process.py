"""A call in a process of its own, which gives its memory back. On Linux one that has loaded the libraries forks it.

A build's libraries take 8 seconds of processor time to load: little beside a real build, most of a tiny one. Each
worker of Ray imports this module, so it imports none of them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from contract.children import kill_each, kill_tree, processes_below
from contract.files.whole_files import write_text
from fleet.layout import OVER_TIME, Outcome
from submodel.extras import limit_spinning

_FORKSERVER: Final = "forkserver"  # elsewhere each process loads the libraries itself
_LIBRARIES: Final = ["fleet.task", "submodel.build.pipeline", "ray"]
_P = ParamSpec("_P")
_T = TypeVar("_T")


def build_in_own_process(document: Mapping[str, Any]) -> bytes:
    """Return the outcome of `fleet.task.build_repository` as JSON; this process ends if that one has none.

    That one is killed at the time limit, from here: what runs in it may hold the interpreter's lock.
    """
    limit_spinning()  # the process that is forked from has loaded torch before a build begins
    mark = Path(document["work"], document["name"], OVER_TIME)
    try:
        with _time_limit(document["time_limit_s"], mark, document["run"]):
            return json.dumps(call_in_own_process(_build, document)).encode()
    except BrokenProcessPool:
        os._exit(1)  # Ray starts the task again, as after any process that was killed


def call_in_own_process(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Return what `function` returns. Its process ends with this one. Raises BrokenProcessPool if it ends before that.

    The function, its arguments and its result are pickled. It sees the environment of this process.
    """
    # Apple's frameworks end a process that was forked from one that has loaded them; Windows forks nothing.
    is_forked = sys.platform != "darwin" and _FORKSERVER in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(_FORKSERVER if is_forked else "spawn")
    if is_forked:
        context.set_forkserver_preload(_LIBRARIES)
    with ProcessPoolExecutor(1, context, _begin, (dict(os.environ),)) as pool:
        return pool.submit(function, *arguments, **named).result()


@contextmanager
def _time_limit(seconds: float, mark: Path, run: str) -> Iterator[None]:
    """Kill the processes of this one after so long; Ray's next try finds the mark."""
    is_over = threading.Event()

    def end() -> None:
        if is_over.wait(seconds):
            return
        with suppress(OSError):
            write_text(mark, run)
        while not is_over.wait(0.1):  # one may be starting
            for process in multiprocessing.active_children():
                kill_tree(process)

    threading.Thread(target=end, daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _begin(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)  # Ray names each task's GPUs there
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    kill_each(processes_below(os.getpid()))
    os._exit(1)


def _build(document: Mapping[str, Any]) -> Outcome:
    from builder.finetuning.finetune_settings import DEVICE_VARIABLE
    from fleet.task import build_repository

    if not document.get("gpus"):  # an older driver tells none, and its version is refused below
        os.environ.setdefault(DEVICE_VARIABLE, "cpu")
    return build_repository(document)

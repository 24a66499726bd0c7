"""One build in a process of its own, which gives its memory back and is killed at its time limit.

Each worker of Ray imports this module, so it imports no library of a build.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.children import child_environment, kill_each, kill_tree, processes_below, python_module
from contract.files.disk_calls import remove_tree
from contract.standard_input import take_stdin
from fleet.layout import FETCHED, Outcome
from submodel.extras import limit_spinning


def build_in_own_process(document: Mapping[str, Any]) -> bytes:
    """Return the outcome of `fleet.task.build_repository` as JSON; this process ends if that one was lost."""
    limit_s, is_over = document["time_limit_s"], threading.Event()
    process = subprocess.Popen(
        python_module("fleet.own_process"),
        stdin=subprocess.PIPE,  # left open: its end tells the build that this process is gone
        stdout=subprocess.PIPE,
        env=child_environment(),  # Ray names each task's GPUs there
    )
    assert process.stdin is not None and process.stdout is not None

    def end() -> None:
        is_over.set()
        kill_tree(process)  # from here: what runs in it may hold the interpreter's lock

    timer = threading.Timer(limit_s, end)
    timer.start()
    try:
        process.stdin.write(json.dumps(document).encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.read()
        status = process.wait()
    except OSError:  # it has ended before it read
        answer, status = b"", process.wait()
    finally:
        timer.cancel()
    if is_over.is_set():
        remove_tree(Path(document["work"], document["name"], FETCHED))
        reason = f"It took longer than {limit_s / 60:g} minutes; raise time_limit_minutes."
        outcome = Outcome(reason=reason, fingerprint=document["fingerprint"], machine=platform.node(), seconds=limit_s)
        return json.dumps(outcome).encode()
    if status:
        os._exit(1)  # Ray starts the task again, as after any process that was killed
    return answer


def main() -> None:
    """Read a task from stdin, build, and write the outcome to stdout; what libraries print goes to stderr."""
    given = take_stdin()
    document = json.loads(given.readline())
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)
        threading.Thread(target=_end_with_worker, args=(given.fileno(),), daemon=True).start()
        answer.write(json.dumps(_build(document)).encode())


def _end_with_worker(stdin: int) -> None:
    os.read(stdin, 1)
    kill_each(processes_below(os.getpid()))
    os._exit(1)


def _build(document: Mapping[str, Any]) -> Outcome:
    limit_spinning()  # before torch is imported
    from builder.finetuning.finetune_settings import DEVICE_VARIABLE
    from fleet.task import build_repository

    if not document.get("gpus"):  # an older driver tells none, and its version is refused below
        os.environ.setdefault(DEVICE_VARIABLE, "cpu")
    return build_repository(document)


if __name__ == "__main__":
    main()

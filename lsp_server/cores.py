"""How many cores a model should use. Apart from the session, so that asking does not load ONNX Runtime."""

from __future__ import annotations

import os
import platform
from pathlib import Path

MAX_DEFAULT_THREADS = 8  # decoding is bound by memory bandwidth, which no laptop needs more cores to fill


def default_threads() -> int:
    """Physical cores that this process may use, at most MAX_DEFAULT_THREADS.

    A second thread on the same core shares its vector units and gains nothing.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        cores = {_siblings(cpu) for cpu in allowed}
        count = len(cores)
    else:
        logical = os.cpu_count() or 1
        is_hyperthreaded = platform.machine().lower() in {"x86_64", "amd64"} and logical > 2
        count = logical // 2 if is_hyperthreaded else logical
    return max(1, min(count, MAX_DEFAULT_THREADS))


def _siblings(cpu: int) -> str:
    """The logical processors that share a core with `cpu`, as Linux lists them; itself where it doesn't say."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return str(cpu)

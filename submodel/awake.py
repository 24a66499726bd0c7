"""Keeps the machine awake while a command works that nobody attends: Windows and macOS sleep when they see no input.

What it does not cover: a lid that is closed, a battery that is empty, and Linux, whose desktops each have a way of
their own. If the system can't be asked, it sleeps as before.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from contract.children import child_environment, find_program

# Of SetThreadExecutionState. Alone the first takes back what was asked before.
ES_CONTINUOUS: Final = 0x80000000
ES_SYSTEM_REQUIRED: Final = 0x00000001


@contextmanager
def kept_awake() -> Iterator[None]:
    """Within the block the system does not sleep for lack of input; its screen may. It is for one thread."""
    system = platform.system()
    child = _start_caffeinate() if system == "Darwin" else None
    if system == "Windows":
        _set_execution_state(ES_CONTINUOUS | ES_SYSTEM_REQUIRED)
    try:
        yield
    finally:
        if system == "Windows":
            _set_execution_state(ES_CONTINUOUS)
        if child is not None:
            child.terminate()
            child.wait()


def _set_execution_state(state: int) -> None:
    if sys.platform == "win32":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.WinDLL("kernel32").SetThreadExecutionState(ctypes.c_uint(state))


def _start_caffeinate() -> subprocess.Popen[bytes] | None:
    """Start macOS's program for it, which ends with this process at the latest; None if that fails."""
    program = find_program("caffeinate")
    if program is None:
        return None
    try:
        return subprocess.Popen(
            [program, "-i", "-w", str(os.getpid())],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None

"""The standard input of a command that reads it in one thread and loads libraries in another."""

from __future__ import annotations

import os
from typing import BinaryIO


def put_null_device(descriptor: int) -> None:
    """Open the null device under a number, in place of what is open there; programs that are started inherit it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing == descriptor:
        os.set_inheritable(descriptor, True)
    else:
        os.dup2(nothing, descriptor)
        os.close(nothing)


def take_stdin() -> BinaryIO:
    """Return what comes in at stdin, and put the null device in its place: to call once, before anything reads it.

    On Windows a library that asks about file 0 while it loads, as OpenBLAS of numpy does, would wait until another
    thread's read of it ends (numpy/numpy#24290).
    """
    taken = os.fdopen(os.dup(0), "rb")
    put_null_device(0)
    return taken

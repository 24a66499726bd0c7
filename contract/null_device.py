"""The null device in the place of a standard stream."""

from __future__ import annotations

import os


def put_null_device(descriptor: int) -> None:
    """Open the null device under a number, in place of what is open there; programs that are started inherit it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing == descriptor:
        os.set_inheritable(descriptor, True)
    else:
        os.dup2(nothing, descriptor)
        os.close(nothing)

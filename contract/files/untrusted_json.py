"""Files that nobody vouches for: regular ones alone, and JSON of bounded size and depth, each fault a ValueError."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Final

MAX_BYTES: Final = 64 << 20  # tokenizers of 250,000 tokens have 30 MB, manifests some kilobytes


class NotRegularError(ValueError):
    """A path leads to a folder, a pipe or a device."""


def parse_json(text: str | bytes) -> Any:
    """A JSON document; raises ValueError, also where it is nested too deeply or holds a number of too many digits."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read; raises OSError where it can't be read, NotRegularError where it is another thing.

    A link is followed, a pipe or a device never waited for: it might not end.
    """
    # Asked before opening, since opening a device may already do something; asked again of what was opened.
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotRegularError("it is not a regular file")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError("it is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file; raises OSError as `open_regular`, ValueError where it is another thing."""
    with open_regular(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return content


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """The JSON document of a file; raises OSError where it can't be read, ValueError for everything else."""
    return parse_json(read_bytes(path, max_bytes).decode("utf-8"))

"""JSON from files that nobody vouches for: bounded in size and depth, and every fault one kind of error."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Final

MAX_BYTES: Final = 64 << 20  # tokenizers of 250,000 tokens have 30 MB, manifests some kilobytes


def parse_json(text: str | bytes) -> Any:
    """A JSON document; raises ValueError, also where it is nested too deeply or holds a number of too many digits."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file; raises OSError where it can't be read, ValueError where it is another thing.

    A link is followed, a pipe or a device never opened: it might not end.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is not a regular file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return content


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """The JSON document of a file; raises OSError where it can't be read, ValueError for everything else."""
    return parse_json(read_bytes(path, max_bytes).decode("utf-8"))

"""A folder of another account, played: whoever runs the tests may be root, who can look at all of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest


def close(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `Path.stat` of a folder, and of what lies in it, raise PermissionError."""
    stat = Path.stat

    def refuse(path: Path, **given: Any) -> os.stat_result:
        if folder in (path, *path.parents):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **given)

    monkeypatch.setattr(Path, "stat", refuse)

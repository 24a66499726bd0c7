"""Tasks of a fleet, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fleet.identity import this_program
from fleet.task import Task


def make_task(work: Path, **differs: Any) -> Task:
    """Return a task of this machine and program, whose base has the SHA-256 "b", with the fields that differ."""
    facts: dict[str, Any] = {
        "name": "one",
        "source": "",
        "fingerprint": "",
        "base": "b",
        "base_sha256": "b",
        "build": {},
        "work": str(work),
        "program": this_program(),
        "cores": torch.get_num_threads(),
        "gpus": 0.0,
        "dtype": "float32",
        "time_limit_s": 60.0,
    }
    return Task(**facts | differs)

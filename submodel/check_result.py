"""What a check of this machine says: of memory and disks, or another one of `submodel doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One thing that was looked at."""

    name: str
    status: Status  # warn: something is limited or slow; fail: serving doesn't work
    found: str
    advice: str = ""  # what to do, one sentence; empty if ok

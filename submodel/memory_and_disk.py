"""Memory and free disk, against what a build and a server need of them.

A build looks here before its long stages; `submodel doctor` shows the same results.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import psutil

from builder.bases.catalogue import SMOLLM2_SMALL
from contract.files.disk_calls import check_writable
from submodel.check_result import CheckResult

# A base of half a billion parameters in float32 (docs/faq.md); which number format a build takes is measured later.
BUILD_MEMORY_BYTES: Final = 6_000_000_000
BUILD_BYTES_A_PARAMETER: Final = 12  # of the base; 8 to 11 were measured
SERVE_MEMORY_BYTES: Final = 600_000_000
BUILD_DISK_BYTES: Final = 3_000_000_000  # what the default base and smaller ones need, and some more
# Bytes a parameter of what a build writes.
CHECKPOINTS: Final = 4  # the pruned and the tuned model, both in bfloat16
FLOAT32_GRAPH: Final = 4  # an export checks it, and removes it before it writes another precision


def check_memory(parameters: int | None = None) -> CheckResult:
    """What is there, against what a build and the server need at most; parameters: those of the build's base."""
    available, total = _memory()
    needed = BUILD_MEMORY_BYTES if parameters is None else BUILD_BYTES_A_PARAMETER * parameters
    base = "the default base" if parameters is None else "this base"
    found = f"{_gigabytes(available)} free of {_gigabytes(total)}"
    need = f"A build with {base} takes up to {_gigabytes(needed)}"
    is_small = needed <= BUILD_BYTES_A_PARAMETER * SMOLLM2_SMALL.parameters
    smaller = "" if is_small else "take `--base smollm2-135m`, or "
    if available >= needed:
        return CheckResult(name="memory", status="ok", found=found)
    if available < SERVE_MEMORY_BYTES:
        advice = f"Serving takes {_gigabytes(SERVE_MEMORY_BYTES)}; close other programs."
    elif total >= needed:
        advice = f"{need}; {smaller}close other programs first."
    else:
        advice = f"{need}; {smaller}build on another machine and copy the bundle here."
    return CheckResult(name="memory", status="warn", found=found, advice=advice)


def _memory() -> tuple[int, int]:
    """The bytes that this process can still take, and all there are."""
    memory = psutil.virtual_memory()
    return memory.available, memory.total


def build_disk_bytes(parameters: int, size: float) -> int:
    """The most that lies on the disk at one time; parameters: those of the base."""
    return max(BUILD_DISK_BYTES, int(parameters * (CHECKPOINTS + FLOAT32_GRAPH) * size))


def check_disk(name: str, folder: Path, needed: int) -> CheckResult:
    """Free bytes where `folder` lies or will lie, and whether it can be written."""
    try:
        there = _existing(folder)
        free = shutil.disk_usage(there).free
    except OSError as error:
        found = f"{error.filename or folder}: {error.strerror}"
        return CheckResult(name=name, status="warn", found=found, advice="Check its permissions.")
    found = f"{_gigabytes(free)} free in {there}"
    if free < needed:
        advice = f"A build takes about {_gigabytes(needed)} there; free space."
        return CheckResult(name=name, status="warn", found=found, advice=advice)
    if not can_be_written(there):
        advice = "Building writes there; check its permissions, or name another folder (-o, HF_HOME, SUBMODEL_CACHE)."
        return CheckResult(name=name, status="warn", found=f"{found}, which can't be written", advice=advice)
    return CheckResult(name=name, status="ok", found=found)


def can_be_written(folder: Path) -> bool:
    """Whether a file can be made in a folder."""
    try:
        check_writable(folder)
    except OSError:
        return False
    return True


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there; of a drive that is gone its root."""
    return next((one for one in (folder, *folder.parents) if one.exists()), Path(folder.anchor))


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"

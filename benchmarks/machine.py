"""The machine and versions that stand beside each figure."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from builder.versions import PROGRAM, installed_versions
from contract.repository.git import GitError, run_git

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_WRITTEN = "benchmarks/results/"  # by the very runs that ask
_PACKAGES = ("submodel", "torch", "transformers", "onnxruntime", "onnx", "tokenizers", "numpy", "pygls")


def describe_machine() -> dict[str, Any]:
    """Processor, its vector units, cores and memory, as Linux tells them."""
    cpu: dict[str, str] = {}
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            cpu[key.strip()] = value.strip()
    flags = cpu.get("flags", "").split()
    return {
        "processor": cpu.get("model name", platform.processor()),
        "family": cpu.get("cpu family"),
        "model": cpu.get("model"),
        "cores": os.cpu_count(),
        "vector_units": [flag for flag in _FLAGS if flag in flags],
        "has_amx": "amx_int8" in flags,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def describe_versions() -> dict[str, str]:
    """Versions of what a figure depends on, and the commit of this program if it runs from a clone.

    "program" is the version of builds: a commit may leave the history. The commit ends in " with changes" if files
    differ from it, other than results.
    """
    versions = installed_versions(_PACKAGES) | {"program": PROGRAM}
    commit = describe_commit(Path(__file__).parents[1])
    return versions | ({"commit": commit} if commit else {})


def describe_commit(root: Path) -> str:
    """Return the commit that is checked out in a folder, and whether files differ from it; "" without git."""
    try:
        commit = run_git(root, "rev-parse", "--verify", "HEAD").decode("ascii").strip()
        changed = run_git(root, "status", "--porcelain", "--no-renames", "--", ".").decode("utf-8", "replace")
    except GitError:
        return ""
    is_changed = any(not line[3:].startswith(_WRITTEN) for line in changed.splitlines())
    return commit + (" with changes" if is_changed else "")

"""The machine and versions that stand beside each figure."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from contract.versions import installed_versions

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
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
    """Versions of what a figure depends on."""
    return installed_versions(_PACKAGES)

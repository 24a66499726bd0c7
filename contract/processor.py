"""The processor: how many cores a model should use, and which kernels stay right. Does not load ONNX Runtime."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

MAX_DEFAULT_THREADS = 8  # decoding is bound by memory bandwidth, which no laptop needs more cores to fill
_most_threads = MAX_DEFAULT_THREADS  # of this process: see `limited_threads`
# What numpy finds out of the features below; it names no AVX VNNI.
_NUMPY_FEATURES = {"AVX2": "avx2", "AVX512VNNI": "avx512_vnni"}
FAST_SHARE = 0.75  # of the fastest core's capacity; efficiency cores have half of it or less


def saturates(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this processor adds u8·s8 products in 16 bits, which saturate and change answers.

    AVX2 and AVX-512 without VNNI do. ONNX Runtime has u8·u8 kernels for them, which take twice as long; if it is asked
    for precision, it uses them on every processor. An x86 processor whose features are unknown counts as one of these.
    """
    return is_x86() and not {"avx512_vnni", "avx_vnni", "amx_int8"} & processor_flags(cpuinfo)


def is_x86() -> bool:
    """Return whether this is a processor of Intel's or AMD's kind."""
    return platform.machine().lower() in ("x86_64", "amd64", "x86")


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Return the processor's features by Linux's names; elsewhere those that numpy finds, empty if it finds none."""
    try:
        text = cpuinfo.read_text("utf-8", "replace")
    except OSError:
        return _features_of_numpy()
    return set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())


def _features_of_numpy() -> set[str]:
    for module in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):  # of numpy 2, of numpy 1
        try:
            found = import_module(module).__cpu_features__
            return {name for feature, name in _NUMPY_FEATURES.items() if found.get(feature) is True}
        except (ImportError, AttributeError):  # no promise of numpy's
            continue
    return set()


def default_threads() -> int:
    """Return how many physical cores this process may use, at most MAX_DEFAULT_THREADS, or as `limited_threads` says.

    A second thread on the same core shares its vector units and gains nothing. If cores are of two kinds, only the
    fast ones count: a product is split evenly, so that all wait for the slowest.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        cores = {_siblings(cpu) for cpu in fast_processors(allowed) or allowed}
        count = len(cores)
    else:
        logical = os.cpu_count() or 1
        is_hyperthreaded = platform.machine().lower() in {"x86_64", "amd64"} and logical > 2
        count = _fast_cores_of_macos() or (logical // 2 if is_hyperthreaded else logical)
    return max(1, min(count, _most_threads))


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Let `default_threads` return no more than `count` within a block: other builds have the other cores."""
    global _most_threads  # of the process, as torch's own number of threads is
    before, _most_threads = _most_threads, min(count, MAX_DEFAULT_THREADS)
    try:
        yield
    finally:
        _most_threads = before


def fast_processors(allowed: Collection[int], devices: Path = Path("/sys/devices")) -> set[int]:
    """Return those of `allowed` logical processors that belong to fast cores; empty if Linux does not report them.

    Linux lists the fast processors of Intel's hybrid ones, and gives each of ARM's a capacity.
    """
    try:
        return set(allowed) & set(_numbers((devices / "cpu_core" / "cpus").read_text("ascii")))
    except (OSError, ValueError):
        pass
    capacities = {}
    for cpu in allowed:
        try:
            capacities[cpu] = int((devices / "system" / "cpu" / f"cpu{cpu}" / "cpu_capacity").read_text("ascii"))
        except (OSError, ValueError):
            return set()
    least = FAST_SHARE * max(capacities.values(), default=0)
    return {cpu for cpu, capacity in capacities.items() if capacity >= least}


def _numbers(text: str) -> Iterator[int]:
    """Yield the numbers of a list such as `0-3,8`."""
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _fast_cores_of_macos() -> int | None:
    """Return the number of performance cores of an Apple processor; None elsewhere."""
    if platform.system() != "Darwin":
        return None
    import ctypes

    count = ctypes.c_int(0)
    size = ctypes.c_size_t(ctypes.sizeof(count))
    name = b"hw.perflevel0.physicalcpu"
    failed = ctypes.CDLL(None).sysctlbyname(name, ctypes.byref(count), ctypes.byref(size), None, ctypes.c_size_t(0))
    return None if failed or count.value < 1 else count.value


def _siblings(cpu: int) -> str:
    """Return the logical processors that share a core with `cpu`, as Linux lists them; else `cpu` itself."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return str(cpu)

"""Huge pages under the weights: a step reads all of them, and with pages of 4 KiB it looks up each one's place as well.

Linux gives them to who asks for them (`transparent_hugepage/enabled` is `madvise` on most systems); neither ONNX
Runtime nor glibc does, so that it is done here once a model is loaded. docs/LOG.md has what it gains.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HUGE = 1 << 21  # bytes; the size on x86-64 and on ARM64 with pages of 4 KiB
LEAST = 4 * HUGE  # smaller regions are not the weights
LEAST_RESIDENT = 0.9  # of a huge page: what is not there yet becomes memory too
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25  # <asm-generic/mman-common.h>; the latter since Linux 6.1
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages() -> int:
    """Move what this process holds in large regions into huge pages; gives the bytes moved. Elsewhere than on Linux: 0.

    Never fails: where the kernel does not know how, or has no room, the pages stay as they are.
    """
    if sys.platform != "linux":
        return 0
    try:
        if "[never]" in SETTING.read_text("utf-8"):
            return 0
        maps = Path("/proc/self/maps").read_text("utf-8")
    except OSError:  # a kernel without them, or a sandbox
        return 0
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    moved = 0
    for region, length in large_regions(maps):
        libc.madvise(region, length, MADV_HUGEPAGE)  # older kernels collect them in the background
        for start, size in _filled(libc, region, length):
            if libc.madvise(start, size, MADV_COLLAPSE) == 0:
                moved += size
    return moved


def large_regions(maps: str) -> Iterator[tuple[int, int]]:
    """Start and size, in whole huge pages, of what /proc/PID/maps lists as private, writable and without a file."""
    for line in maps.splitlines():
        addresses, permissions, _, _, inode, *name = line.split()
        if permissions != "rw-p" or inode != "0" or name not in ([], ["[heap]"]):
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        start, end = -(-start // HUGE) * HUGE, end // HUGE * HUGE
        if end - start >= LEAST:
            yield start, end - start


def _filled(libc: ctypes.CDLL, region: int, length: int) -> Iterator[tuple[int, int]]:
    """Start and size of the runs of huge pages that hold something nearly everywhere."""
    resident = np.zeros(length // mmap.PAGESIZE, np.uint8)
    if libc.mincore(region, length, resident.ctypes.data) != 0:
        return
    is_full = (resident & 1).reshape(-1, HUGE // mmap.PAGESIZE).mean(axis=1) >= LEAST_RESIDENT
    edges = np.flatnonzero(np.diff(is_full, prepend=False, append=False))
    for first, end in edges.reshape(-1, 2).tolist():
        yield region + first * HUGE, (end - first) * HUGE

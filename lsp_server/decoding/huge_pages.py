"""Moves the weights into huge pages: a step reads all weights, and has to look up the place of each page."""

from __future__ import annotations

import ctypes
import errno
import logging
import mmap
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

LEAST_BYTES = 8 << 20  # smaller regions are not the weights
LEAST_RESIDENT = 0.9  # of a huge page; the rest of it becomes memory too
LARGEST_HUGE = 32 << 20  # with pages of 64 KiB a huge one has 512 MiB, which no model fills
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25  # <asm-generic/mman-common.h>; the latter since Linux 6.1
SETTINGS = Path("/sys/kernel/mm/transparent_hugepage")

_lock = threading.Lock()


def use_huge_pages() -> int:
    """Move this process's large regions of memory into huge pages; return the bytes moved, on other systems 0."""
    return _use_huge_pages() if sys.platform == "linux" and _lock.acquire(blocking=False) else 0


def _use_huge_pages() -> int:
    """Do the work. The caller holds the lock, which is released here."""
    try:
        if "[never]" in (SETTINGS / "enabled").read_text("ascii"):
            return 0
        huge = int((SETTINGS / "hpage_pmd_size").read_text("ascii"))
        maps = Path("/proc/self/maps").read_bytes()
    except (OSError, ValueError):  # a kernel without them, or a sandbox
        return 0
    else:
        moved = sum(_move(page, huge) for page in _filled_pages(maps, huge)) if huge <= LARGEST_HUGE else 0
        log.info("%d MB in huge pages", moved / 1e6)
        return moved
    finally:
        _lock.release()


def large_regions(maps: bytes, huge: int) -> Iterator[tuple[int, int]]:
    """Yield start and size, in whole huge pages, of regions in /proc/PID/maps: private, writable, without a file."""
    for line in maps.split(b"\n"):
        addresses, permissions, _, _, inode, *name = line.split(maxsplit=5) or [b""] * 5
        if permissions != b"rw-p" or inode != b"0" or name not in ([], [b"[heap]"]):
            continue
        first, last = (int(address, 16) for address in addresses.split(b"-"))
        start, end = -(-first // huge) * huge, last // huge * huge
        if end - start >= max(LEAST_BYTES, huge):
            yield start, end - start


def full_pages(resident: bytes, start: int, huge: int) -> Iterator[int]:
    """Yield addresses of huge pages that are nearly in memory; `resident`: 1 or 0 for each page from `start` on."""
    count = huge // mmap.PAGESIZE
    for first in range(0, len(resident), count):
        if resident.count(1, first, first + count) >= LEAST_RESIDENT * count:
            yield start + first * mmap.PAGESIZE


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    return libc


def _filled_pages(maps: bytes, huge: int) -> Iterator[int]:
    for start, size in large_regions(maps, huge):
        resident = (ctypes.c_ubyte * (size // mmap.PAGESIZE))()
        if _libc().mincore(start, size, resident) == 0:
            yield from full_pages(bytes(resident), start, huge)


def _move(page: int, huge: int) -> int:
    """Move one huge page; return `huge` or 0. A region that was marked as a whole would fill its holes in time."""
    if _libc().madvise(page, huge, MADV_COLLAPSE) == 0:
        return huge
    # A kernel without MADV_COLLAPSE collects marked pages in the background.
    if ctypes.get_errno() == errno.EINVAL:
        _libc().madvise(page, huge, MADV_HUGEPAGE)
    return 0

"""What this process takes of the machine: its peak of memory, what the C library keeps of it, and its processors."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from pathlib import Path
from typing import Final

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
MOST_KERNELS: Final = 128  # of one step: a layer's, forward and backward, and attention's to each number of blocks


def peak_rss_bytes() -> int | None:
    """The largest resident set that this process ever had, in bytes; None where the system doesn't tell."""
    if sys.platform == "linux":
        # Not getrusage: there a process begins at the peak of the one that started it.
        status = Path("/proc/self/status").read_text("ascii").split("VmHWM:")
        if len(status) == 2:
            return int(status[1].split()[0]) * 1024
    peak: int | None = None
    if sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak


def limit_kernels() -> None:
    """Keep few of the kernels that oneDNN makes for each shape of a product; call it before the first product.

    Each training step has shapes of its own, so that 1,024 kernels, oneDNN's default, took a gigabyte and were hardly
    used again.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(MOST_KERNELS))


def reuse_memory() -> None:
    """Let glibc keep what is freed, for what is asked for next; by default it returns each large tensor to the system.

    A step of training asks for thousands of them. Linux clears each page that it gives, which took up to a fifth of the
    time (dev/LOG.md). `give_back_memory` returns it between the stages.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            c_library = ctypes.CDLL(None)
            if not c_library.mallopt(M_MMAP_THRESHOLD, 1 << 30):
                c_library.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # an older glibc takes no more
            c_library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def keep_to_machine() -> None:
    """Set torch up before its first product: few kernels, memory that is reused, the processors of a container."""
    limit_kernels()
    reuse_memory()


def give_back_memory() -> None:
    """Return freed memory to the system: glibc and torch keep it otherwise, beside what the next stage needs."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)

"""Errors of the disk and of memory, which are the user's to mend, whatever library they come from."""

from __future__ import annotations

import errno
import os

# The user's to mend: full disk or quota, no permission, read-only media, a file larger than the file system takes, a
# drive or a server that is gone. Windows lacks some of them.
_NAMES = ("ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "EIO", "EFBIG", "ENODEV", "ESTALE")
NETWORK_ERRORS = frozenset({errno.ETIMEDOUT, errno.ENOTCONN})  # a network's, or a network drive's if a file is named
DISK_ERRORS = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name)) | NETWORK_ERRORS
# In the words of torch and ONNX Runtime, whose errors are of many classes.
OUT_OF_MEMORY = ("DefaultCPUAllocator", "bad allocation", "bad_alloc", "Failed to allocate memory", "os error 1455")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means a full disk, also if a library in Rust or C++ reports it, which has no OSError."""
    return error.errno in _DISK_FULL if isinstance(error, OSError) else names_disk_full(str(error))


def names_disk_full(output: str) -> bool:
    """Whether a program's or a library's words name a full disk."""
    return any(words in output for words in (*map(os.strerror, _DISK_FULL), "StorageFull"))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, whatever library reports it."""
    is_system_s = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or is_system_s or any(words in str(error) for words in OUT_OF_MEMORY)


def resource_problem(error: Exception) -> str | None:
    """Return what a disk or the memory lacks and what to do, without a full stop; None for errors of another kind."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        if error.filename or error.errno not in NETWORK_ERRORS:
            where = f" ({error.filename})" if error.filename else ""
            return f"{error.strerror}{where}; free space, or choose a folder that can be written"
    elif not isinstance(error, OSError) and is_disk_full(error):
        return "the disk is full; free space"
    if is_out_of_memory(error):
        return "there is not enough memory (a smaller base needs less); close other programs"
    return None

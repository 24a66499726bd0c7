"""Errors of the disk and of memory, which are the user's to mend, whatever library they come from."""

from __future__ import annotations

import errno
import os
import re
import sys

# The user's to mend: full disk or quota, no permission, read-only media, a file larger than the file system takes, a
# drive or a server that is gone. Windows lacks some of them.
_NAMES = ("ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "EIO", "EFBIG", "ENODEV", "ESTALE")
NETWORK_ERRORS = frozenset({errno.ETIMEDOUT, errno.ENOTCONN})  # a network's, or a network drive's if a file is named
DISK_ERRORS = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name)) | NETWORK_ERRORS
# In the words of torch and ONNX Runtime, whose errors are of many classes, and of libraries in Rust and C++ on Windows.
OUT_OF_MEMORY = (
    *("DefaultCPUAllocator", "bad allocation", "bad_alloc", "Failed to allocate memory"),
    *("os error 1455", "WinError 1455", "error code: <1455>"),
)
# Rust gives the system's number in its words; on Windows it is another number than errno's.
_SYSTEM_S_NUMBER = re.compile(r"\(os error (\d{1,5})\)")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_WINDOWS_DISK_FULL = (112, 39)  # ERROR_DISK_FULL, ERROR_HANDLE_DISK_FULL, which Rust names by their numbers
# ERROR_NOT_ENOUGH_MEMORY, ERROR_COMMITMENT_LIMIT: "The paging file is too small", for which errno has no number.
_WINDOWS_OUT_OF_MEMORY = frozenset({8, 1455})


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means a full disk, also if a library in Rust or C++ reports it, which has no OSError."""
    return error.errno in _DISK_FULL if isinstance(error, OSError) else names_disk_full(str(error))


def names_disk_full(output: str) -> bool:
    """Whether a program's or a library's words name a full disk."""
    codes = _WINDOWS_DISK_FULL if sys.platform == "win32" else _DISK_FULL
    words = (*map(os.strerror, _DISK_FULL), "StorageFull", *(f"os error {code})" for code in codes))
    return any(one in output for one in words)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, whatever library reports it."""
    is_system_s = isinstance(error, OSError) and (
        error.errno == errno.ENOMEM or getattr(error, "winerror", None) in _WINDOWS_OUT_OF_MEMORY
    )
    return isinstance(error, MemoryError) or is_system_s or any(words in str(error) for words in OUT_OF_MEMORY)


def _system_error(error: Exception) -> OSError | None:
    """Return the system's error: this one, or the one that the words of a library in Rust name; else None."""
    if isinstance(error, OSError):
        return error
    found = _SYSTEM_S_NUMBER.search(str(error)) if sys.platform != "win32" else None
    if found is None:
        return None
    number = int(found.group(1))
    return OSError(number, os.strerror(number))


def resource_problem(error: Exception) -> str | None:
    """Return what a disk or the memory lacks and what to do, without a full stop; None if the error is of another kind.

    Such an error is no defect, of whatever library it comes.
    """
    if not isinstance(error, OSError) and is_disk_full(error):
        return "the disk is full; free space"
    found = _system_error(error)
    is_network = found is not None and found.errno in NETWORK_ERRORS and not found.filename
    if found is not None and found.errno in DISK_ERRORS and not is_network:
        where = f" ({found.filename})" if found.filename else ""
        return f"{found.strerror}{where}; free space, or choose a folder that can be written"
    if found is not None and found.errno in (errno.EMFILE, errno.ENFILE):
        return "too many files are open; close other programs, or raise the limit (`ulimit -n`)"
    if isinstance(error, FileNotFoundError) and str(error.strerror).startswith("No usable temporary directory"):
        return "no temporary folder can be written; name one with TMPDIR"
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return "the system starts no more threads for this account; close other programs"
    if is_out_of_memory(error):
        return "there is not enough memory (a smaller base needs less); close other programs"
    return None

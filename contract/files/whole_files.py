"""Files that are written whole or not at all.

A file is forced to the disk before it takes its name, and the name after that: so neither a killed process nor a power
cut leaves less than the old file or the new one. What a killed run leaves beside it (`.NAME.….partial`) is removed by
the next one.

Nothing is written through a link: a fresh file has a random name and is made by the call that opens it, and a link that
stands where it is to be put is itself replaced.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.errors import BuildError, SubmodelError
from contract.files.disk_calls import sync
from contract.files.disk_errors import is_disk_full
from contract.files.file_names import is_link

SPARE_BYTES = 32 << 20  # a disk filled to its last byte serves nobody
OPEN = 0o666  # the mode of files that others may read, if the user's umask lets them
PRIVATE = 0o600  # of files that hold text of the repository, whose own files may be closed to others


def write_json(path: Path, document: object, *, mode: int = OPEN) -> None:
    """Write JSON, in ASCII, so that `path` holds either the old document or the whole new one."""
    write_text(path, json.dumps(document, indent=2) + "\n", mode=mode)


def write_text(path: Path, text: str, *, mode: int = OPEN) -> None:
    """Write UTF-8 so that `path` holds either the old text or the whole new one; one writer at a time."""
    with replace_file(path, mode=mode) as fresh, fresh.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


@contextmanager
def replace_file(path: Path, *, mode: int = OPEN) -> Iterator[Path]:
    """Yield an empty file of `mode` beside `path`; when the block ends well, that file takes the name `path`.

    Both are forced to the disk. Until then the old file stays; if the block fails it stays for good, and what was
    written beside it is removed. One writer at a time: what earlier ones left is removed first. A full disk is an
    OSError that names the file, also if a library in Rust or C++ reports it otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_partial_files(path)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(fresh, flags, mode))  # less what the user's umask takes away
    try:
        yield fresh
        sync(fresh)
        fresh.replace(path)
        sync(path.parent)
    except BaseException as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        if isinstance(error, SubmodelError) or not is_disk_full(error):
            raise
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # a write names no file
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def check_no_device(path: Path, option: str, error_type: type[SubmodelError] = BuildError) -> None:
    """Raise `error_type` if the user named a device or a pipe, such as /dev/null or /dev/stdout, with an option.

    `replace_file` would put a file in its place.
    """
    leads_to_proc = is_link(path) and path.readlink().is_relative_to("/proc")  # /dev/stdout, whatever it is now
    if leads_to_proc or (path.exists() and not path.is_file() and not path.is_dir()):
        raise error_type(f"{path} is a device or a pipe; name a file with {option}.")


def _remove_partial_files(path: Path) -> None:
    """Remove what killed writers of `path` left; a link is removed, what it leads to is not."""
    pattern = re.compile(rf"\.{re.escape(path.name)}(\.[0-9a-f]{{16}})?\.partial")
    with os.scandir(path.parent) as entries:
        stale = [entry.path for entry in entries if pattern.fullmatch(entry.name)]
    for name in stale:
        with suppress(OSError):  # a folder of that name is none of ours
            os.unlink(name)  # noqa: PTH108 - of a scandir's name

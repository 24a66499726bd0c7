"""Folders and files that are written whole or not at all, so that a stage never leaves half of something."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.errors import BuildError, SubmodelError


def write_json(path: Path, document: object) -> None:
    """Write JSON so that `path` holds either the old document or the whole new one."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 so that `path` holds either the old text or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False, suffix=".tmp") as file:
        fresh = Path(file.name)
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    fresh.replace(path)


@contextmanager
def replace_folder(
    target: Path, *, marker: str, error_type: type[SubmodelError] = BuildError, keep: Path | None = None
) -> Iterator[Path]:
    """Yield an empty folder beside `target`; when the block ends well it takes `target`'s place as a whole.

    Until then the old folder stays; if the block fails it stays for good, and what was written beside it is removed.
    Afterwards it is removed, or takes the place of `keep`. Only a folder that holds the file `marker`, or nothing, is
    ever replaced: `-o ~/work` must not cost anyone their files. An OSError inside (full disk, read-only folder) becomes
    an `error_type`. What a killed run left beside the target is put right first. Two runs into one target at the same
    time are not supported.
    """
    target = target.absolute()
    fresh = target.with_name(f".{target.name}.partial")
    retired = target.with_name(f".{target.name}.replaced")
    try:
        _restore(target, retired)
        if target.is_dir() and any(target.iterdir()) and not (target / marker).is_file():
            raise error_type(f"{target} holds files but no {marker}; choose an empty or a new folder with -o.")
        if target.exists() and not target.is_dir():
            raise error_type(f"{target} is a file; choose a folder with -o.")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            yield fresh
            _sync(fresh)
            if target.exists():
                target.replace(retired)
            try:
                fresh.replace(target)
            except OSError:
                _restore(target, retired)
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        if keep is not None and retired.exists():
            keep.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(keep, ignore_errors=True)
            retired.replace(keep)
        shutil.rmtree(retired, ignore_errors=True)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise error_type(
            f"{target} can't be written{where}: {error.strerror or error}; "
            "free space or choose a folder that can be written with -o, and run it again."
        ) from error


def _restore(target: Path, retired: Path) -> None:
    """Undo a replacement that was cut off between its two renames, or finish cleaning up after one that was not."""
    if retired.exists() and not target.exists():
        retired.replace(target)
    elif retired.exists():
        shutil.rmtree(retired)


def _sync(folder: Path) -> None:
    """Force files and folders to the disk, so that after a power cut the renamed folder is not an empty one."""
    for path in (*folder.rglob("*"), folder):
        if path.is_dir() and os.name == "nt":
            continue  # Windows has no handle on a folder to sync
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

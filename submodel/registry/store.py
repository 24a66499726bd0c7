"""Files by their SHA-256 in one folder, so that each is there once whatever bundles it belongs to.

A registry has such a folder (`files/`), and so has the cache of whoever pulls from it.

A file gets its name only when its bytes are known to be right, and they are compared again before each use: the cache
is no safe place. Pulled bundles get hard links where the disk allows it, so that a model lies on the disk once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from contract.bundle.manifest import DIGEST
from contract.documents import FileFacts
from contract.errors import RegistryError
from contract.files.file_hash import hash_file
from contract.files.whole_files import SPARE_BYTES, replace_file

CHUNK_BYTES: Final = 1 << 20
UNUSED_DAYS: Final = 14  # how long a file that no bundle uses is kept


class FileStore:
    """The files in `folder`, which is made. One process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def place_of(self, sha256: str) -> Path:
        """Where a file of that hash lies, if it does."""
        return self.folder / sha256[:2] / sha256

    def has(self, facts: FileFacts) -> bool:
        """Whether a file is here, compared byte by byte; a changed one is removed."""
        path = self.place_of(facts["sha256"])
        if not path.is_file() or path.is_symlink():
            return False
        is_right = hash_file(path) == facts["sha256"]
        if not is_right:
            path.unlink()
        return is_right

    def check_space(self, missing_bytes: int) -> None:
        """Raise RegistryError if the disk has no room for so many bytes."""
        free = shutil.disk_usage(self.folder).free
        if missing_bytes + SPARE_BYTES > free:
            raise RegistryError(
                f"{missing_bytes:,} bytes are to be fetched and the disk of {self.folder} has {free:,} left; free "
                "space, or set SUBMODEL_CACHE to a folder on another disk."
            )

    def add(self, facts: FileFacts, chunks: Iterator[bytes], where: str, on_bytes: Callable[[int], None]) -> None:
        """Keep what `chunks` bring; raises RegistryError, keeping nothing, unless it is the file that `facts` name.

        where: what the sentence calls it. on_bytes: gets the size of each chunk.
        """
        digest, left = hashlib.sha256(), facts["bytes"]
        path = self.place_of(facts["sha256"])
        with replace_file(path) as fresh, fresh.open("wb") as file:
            for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    break
                digest.update(chunk)
                file.write(chunk)
                on_bytes(len(chunk))
            if left or digest.hexdigest() != facts["sha256"]:
                raise RegistryError(
                    f"{where} is not the file that the index names (size or SHA-256 differs), so it was thrown away; "
                    "try again, or copy or publish the registry again."
                )

    def put(self, facts: FileFacts, target: Path) -> None:
        """Give the file that `facts` name the new name `target` as well; a copy where the disk has no hard links.

        Raises FileExistsError if `target` exists: it may be another file of the store.
        """
        path = self.place_of(facts["sha256"])
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:
            with path.open("rb") as source, target.open("xb") as copy:
                shutil.copyfileobj(source, copy, CHUNK_BYTES)

    def forget_unused(self, now_s: float | None = None) -> None:
        """Remove files that came more than UNUSED_DAYS ago and that no bundle has a link to."""
        oldest = (time.time() if now_s is None else now_s) - UNUSED_DAYS * 86400
        for path in self.folder.glob("??/*"):
            with suppress(OSError):
                status = path.lstat()
                if DIGEST.fullmatch(path.name) and status.st_nlink == 1 and status.st_mtime < oldest:
                    path.unlink()

    def forget_partial(self) -> None:
        """Remove what a process left that was killed while it added a file."""
        for path in self.folder.glob("??/.*.partial"):
            with suppress(OSError):
                path.unlink()

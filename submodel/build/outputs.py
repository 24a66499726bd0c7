"""What a stage made, as hashes: so that a record vouches for its files and not for their names."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from contract.errors import BuildError
from contract.files.file_hash import hash_file
from contract.files.file_names import is_stray

Hashes = dict[str, str]  # relative posix path → SHA-256; "." for an output that is one file


class OutputHashes:
    """Hashes of output folders and files, each file read once as long as it does not change."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], str] = {}

    def of(self, output: Path) -> Hashes:
        """Return the SHA-256 of each file but those that file managers leave.

        Raises BuildError where anything is neither a file nor a folder.
        """
        found: Hashes = {}
        pending = [output]
        while pending:
            path = pending.pop()
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                with os.scandir(path) as entries:
                    pending += [path / entry.name for entry in entries]
            elif path != output and is_stray(path.name):
                continue
            elif stat.S_ISREG(status.st_mode):
                found[path.relative_to(output).as_posix()] = self._of_file(path, status)
            else:
                raise BuildError(f"{path} is neither a file nor a folder; remove it and build again.")
        return dict(sorted(found.items()))

    def _of_file(self, path: Path, status: os.stat_result) -> str:
        identity = (path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if identity not in self._known:
            self._known[identity] = hash_file(path)
        return self._known[identity]

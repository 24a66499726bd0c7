"""What a repository's model depends on, as one hash: if it has not changed, nothing is built.

A folder is known by the names and contents of the files that a build reads, an address by its commit. The hashes are
of whole files: they stay in the folder of results, in no bundle.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Any, Final

import contract.repository
from builder.versions import PROGRAM, SCORING_VERSION
from contract.errors import CorpusError
from contract.repository.file_filters import reason_by_path
from contract.repository.git import GitError
from contract.repository.listing import list_files
from contract.repository.reading import SourceReader, Unreadable
from contract.repository.texts import ReadingSettings, check_no_home
from fleet.fleet_file import Repository
from fleet.git_source import ask_commit, is_address, without_password
from submodel.build.stages import hash_of
from submodel.registry.names import is_part, remote_addresses

COMMIT: Final = "commit:"


def look_at(repository: Repository) -> str:
    """The fingerprint of a repository as it is now; raises CorpusError."""
    if repository.is_remote:
        return COMMIT + ask_commit(repository.source, repository.ref)
    return fingerprint_of(Path(repository.source))


def fingerprint_of(folder: Path) -> str:
    """SHA-256 over the files that a build of this folder may read, in hex behind `files:`; raises CorpusError."""
    check_no_home(folder)
    try:
        root = Path(os.path.realpath(folder, strict=True))
        listing = list_files(root)
    except FileNotFoundError as error:
        raise CorpusError(f"There is no folder {folder}; look at its name.") from error
    except OSError as error:
        raise CorpusError(f"The folder {folder} can't be read ({error.strerror}); check its permissions.") from error
    reader = SourceReader(root, max_bytes=ReadingSettings.max_file_bytes)
    digest = hashlib.sha256()
    for path in listing.paths:
        if reason_by_path(path, is_tracked=path in listing.tracked) is not None:
            continue
        try:
            content = hashlib.sha256(reader.read(path)).hexdigest()
        except Unreadable as left_out:
            content = str(left_out)
        digest.update(os.fsencode(path) + b"\0" + content.encode() + b"\0")
    return f"files:{digest.hexdigest()}"


def key_of(repository: Repository, fingerprint: str, base: dict[str, Any]) -> str:
    """The hash of what the repository's bundle and report depend on; `base` is its identity without the reason.

    The number of cores and the number format of a machine don't count: they change the order and the rounding of sums.
    """
    settings = {name: getattr(repository.build, name) for name in repository.build.__struct_fields__ if name != "base"}
    title = repository.name if repository.is_remote else Path(repository.source).name
    return hash_of(program=this_program(), fingerprint=fingerprint, base=base, build=settings, title=title)


def this_program() -> str:
    """What of the program a result depends on: its version, that of scoring, and the rules of reading.

    The latter two change without another PROGRAM. A secret that an older version did not know must not stay in a result
    that is kept, nor come from a machine with older rules.
    """
    return f"{PROGRAM} {SCORING_VERSION} {_reading_rules()}"


@functools.cache
def _reading_rules() -> str:
    """SHA-256 of the code that says what is read of a repository, in hex; of when it was first asked."""
    digest = hashlib.sha256()
    for module in sorted(Path(contract.repository.__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()


def remote_of(repository: Repository) -> str | None:
    """The address that a clone of the repository has as its origin, without a password; None if there is none."""
    if is_address(repository.source):
        return repository.source
    folder = Path(repository.source)
    if is_part(folder):
        return None  # its address names the whole
    try:
        addresses = remote_addresses(folder).get("origin", [])
    except GitError:
        return None
    return (without_password(addresses[0]) or None) if addresses else None

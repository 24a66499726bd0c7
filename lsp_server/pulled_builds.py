"""Where this account has pulled its bundles from: a pulled bundle has no history, so a newer one is pulled again.

A bundle is known by its build, as in `contract.bundle.trusted_builds`. The record is a folder in the state folder with
a small file a build. No bundle says of itself that it was pulled: its files are the same where it was built.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from contract.files.state_folder import StateFolderError, state_folder
from contract.files.untrusted_json import read_json
from contract.files.whole_files import PRIVATE, write_json

FOLDER: Final = "pulled"
REGISTRY_FILE: Final = "registry.json"  # {"address": …, "key": …} of the last registry with a new key, beside it
MAX_BYTES: Final = 1 << 14  # of a record
MAX_REGISTRY_BYTES: Final = 1 << 16


@dataclass(frozen=True, kw_only=True)
class PulledFrom:
    """The registry with its public key, and the name that the user gave; None if it was that of a git remote."""

    address: str
    name: str | None
    key: str | None = None  # None: that of REGISTRY_FILE

    def command(self, repository: Path | None) -> tuple[str, ...]:
        """What pulls the newest bundle of a repository; None is the folder that it is run in."""
        where = () if repository is None and self.name is None else (str(repository or "."),)
        named = () if self.name is None else ("--repository", self.name)
        signed = () if self.key is None else ("--key", self.key)
        return ("submodel", "pull", self.address, *where, *named, *signed)


def note_pulled(build: str, source: PulledFrom) -> None:
    """Remember where a build came from. Without a record the server only names another command."""
    with suppress(OSError, StateFolderError):
        folder = state_folder() / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        write_json(folder / f"{build}.json", asdict(source), mode=PRIVATE)


def pulled_from(build: str) -> PulledFrom | None:
    """Where this account pulls a build's successor from; None if it has not pulled it, or if that is not known.

    That is the registry whose key the user gave last, wherever this build came from: the older key may have leaked.
    """
    kept = _read(f"{FOLDER}/{build}.json")
    known = _known_registry()
    address, name = known.get("address", kept.get("address")), kept.get("name")
    key = None if "key" in known else kept.get("key")
    if not kept or not isinstance(address, str) or not isinstance(name, str | None) or not isinstance(key, str | None):
        return None
    return PulledFrom(address=address, name=name, key=key)


def read_known_registry() -> Mapping[str, Any]:
    """Return `address` and `key` of REGISTRY_FILE, unchecked; nothing if there is no such file.

    Raises OSError or ValueError if it can't be read, StateFolderError if the state folder can't be used.
    """
    path = state_folder() / REGISTRY_FILE
    kept = read_json(path, MAX_REGISTRY_BYTES) if path.exists() else {}
    return kept if isinstance(kept, dict) else {}


def write_known_registry(address: str, key: str) -> None:
    """Remember a registry whose key the user has given. Raises OSError or StateFolderError if it can't be written."""
    write_json(state_folder() / REGISTRY_FILE, {"address": address, "key": key}, mode=PRIVATE)


def _known_registry() -> Mapping[str, Any]:
    """Return what REGISTRY_FILE has; nothing if there is none, or if it can't be read."""
    try:
        return read_known_registry()
    except (OSError, ValueError, StateFolderError):
        return {}


def _read(file: str) -> Mapping[str, Any]:
    try:
        kept = read_json(state_folder() / file, MAX_BYTES)
    except (OSError, ValueError, StateFolderError):
        return {}
    return kept if isinstance(kept, dict) else {}

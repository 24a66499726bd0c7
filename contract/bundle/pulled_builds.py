"""Where this account has pulled its bundles from: a pulled bundle has no history, so a newer one is pulled again.

A bundle is known by its build, as in `contract.bundle.trusted_builds`. The record is a folder in the state folder with
a small file a build. No bundle says of itself that it was pulled: its files are the same where it was built.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.files.state_folder import StateFolderError, state_folder
from contract.files.untrusted_json import read_json
from contract.files.whole_files import PRIVATE, write_json

FOLDER: Final = "pulled"
MAX_BYTES: Final = 1 << 14


@dataclass(frozen=True, kw_only=True)
class PulledFrom:
    """The registry, and the name that the user gave; None if it was that of a git remote."""

    address: str
    name: str | None

    def command(self, repository: Path | None) -> tuple[str, ...]:
        """What pulls the newest bundle of a repository; None is the folder that it is run in."""
        if repository is None and self.name is None:
            return ("submodel", "pull", self.address)
        named = () if self.name is None else ("--repository", self.name)
        return ("submodel", "pull", self.address, str(repository or "."), *named)


def note_pulled(build: str, source: PulledFrom) -> None:
    """Remember where a build came from. Without a record the server only names another command."""
    with suppress(OSError, StateFolderError):
        folder = state_folder() / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        write_json(folder / f"{build}.json", {"address": source.address, "name": source.name}, mode=PRIVATE)


def pulled_from(build: str) -> PulledFrom | None:
    """Where this account has pulled a build from; None if it has not, or if that is not known."""
    try:
        kept = read_json(state_folder() / FOLDER / f"{build}.json", MAX_BYTES)
    except (OSError, ValueError, StateFolderError):
        return None
    address, name = (kept.get("address"), kept.get("name")) if isinstance(kept, dict) else (None, None)
    if not isinstance(address, str) or not isinstance(name, str | None):
        return None
    return PulledFrom(address=address, name=name)

"""What the model of a repository has seen, version by version: what an update starts from.

One sealed file (`contract.files.seals`) beside the stages' records, replaced as a whole when a build or an update ends.
While an update swaps its bundle, the history that follows lies beside it. It holds paths and hashes of texts, no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from builder.artifact import MANIFEST
from builder.corpus.corpus import Corpus
from builder.corpus.following import Known, know
from contract.documents import SUB_MODEL
from contract.errors import BuildError
from contract.files.disk_calls import remove_file, rename, sync
from contract.files.file_hash import hash_file
from contract.files.seals import open_sealed, seal_key, sealed_json
from contract.files.untrusted_json import read_bytes
from contract.files.whole_files import PRIVATE, write_text

FILE: Final = "history.json"
NEXT: Final = "next-history.json"  # of an update whose model has not taken its place
PURPOSE: Final = "history"


@dataclass(frozen=True, kw_only=True)
class History:
    """The model that is there and how it came about."""

    program: str  # the versions of pipeline and export: another one asks for a build
    model_hash: str  # of the stage that made the model
    commit: str | None  # that was checked out; None without git
    # What was checked out when the last update ran, which may have been refused or have left files unread.
    looked_at: str | None = None
    known: Known  # the files and texts of all versions
    quantize: str | None = None  # what the build's export asked for; None where another version wrote the history
    command: str | None = None  # that asks for the same build; None where another version wrote the history
    seed: int = 0  # of the build: updates draw by it too, and score the same held-out lines
    made: str | None = None  # SHA-256 of the built model's manifest; None where another version wrote the history
    # SHA-256 of texts that refused updates of this model have read, if they did not reach all: the others come next.
    tried: tuple[str, ...] = ()
    # A build or an update each, the oldest first: what the report and `--json` show.
    versions: tuple[Mapping[str, Any], ...]

    @property
    def updates(self) -> int:
        """How many updates there were, refused ones and those before the last build among them."""
        return sum(one["kind"] == "update" for one in self.versions)


def remember_build(
    folder: Path,
    corpus: Corpus,
    document: Mapping[str, Any],
    *,
    program: str,
    model_hash: str,
    commit: str | None,
    quantize: str,
    command: str,
    seed: int,
    made: str | None = None,
) -> list[dict[str, Any]]:
    """Start the history from a build's document, or add what was measured since if its model is known.

    Returns the versions.

    commit: what was checked out before the corpus was read. quantize: the precision that updates ask for. command:
    asks for the same build. seed: that of the build. made: SHA-256 of the model's manifest: --force makes another model
    of the same stage hash, which is a version of its own.
    """
    before = read_history(folder)
    rows = [row for row in document["models"] if row["name"] == SUB_MODEL and "positions" in row]
    scored = {"held_out": figures_of(rows[-1])} if rows else {}
    if (
        before is not None
        and (before.program, before.model_hash) == (program, model_hash)
        and before.made in (None, made)
    ):
        known = [dict(one) for one in before.versions]
        for one in [one for one in known if one["kind"] == "build"][-1:]:
            # Stages that are kept take no time: the longest of its runs is the one that made it.
            one |= {**scored, "seconds": max(one["seconds"], document["seconds"])}
        renewed = replace(before, quantize=quantize, command=command, seed=seed, made=made)
        write_history(folder, replace(renewed, versions=tuple(known)))
        return known
    version = describe_version("build", commit, document["finetuning"], document["seconds"]) | {"kept": "new"} | scored
    versions = (*(before.versions if before else ()), version)
    history = History(
        program=program,
        model_hash=model_hash,
        commit=commit,
        known=know(corpus),
        quantize=quantize,
        command=command,
        seed=seed,
        made=made,
        versions=versions,
    )
    write_history(folder, history)
    return [dict(one) for one in versions]


def made_at(model: Path) -> str | None:
    """SHA-256 of the manifest of the model in a folder; None if it has none. Raises BuildError if it can't be read."""
    path = model / MANIFEST
    try:
        return hash_file(path) if path.is_file() else None
    except OSError as error:
        raise BuildError(f"{path} can't be read ({error.strerror or error}); check its permissions.") from error


def describe_version(kind: str, commit: str | None, tuned: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """A build or an update as the report shows it; `tuned` is the summary of its fine-tuning."""
    return {
        "kind": kind,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        **({} if commit is None else {"commit": commit}),
        "minutes": tuned["minutes"],
        "seconds": seconds,
    }


def figures_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a version keeps of a model's row: its name, and the figures of the positions that were asked."""
    kept = ("name", "bits_per_byte", "fim_exact_match", "fim_exact_match_interval", "positions")
    return {key: row[key] for key in kept if key in row}


def write_history(folder: Path, history: History, name: str = FILE) -> None:
    """Replace the history in `folder` (that of the stages' records); name: FILE or NEXT."""
    document = {**vars(history), **vars(history.known)}
    del document["known"]
    write_text(folder / name, sealed_json(seal_key(), PURPOSE, FILE, document), mode=PRIVATE)


def take_next_history(folder: Path) -> None:
    """Put the history that was written as NEXT in the place of the old one."""
    rename(folder / NEXT, folder / FILE)
    sync(folder)


def drop_next_history(folder: Path) -> None:
    """Forget what was written as NEXT: its model will not take the old one's place."""
    remove_file(folder / NEXT)


def read_history(folder: Path, name: str = FILE) -> History | None:
    """What `write_history` wrote for this user; None if there is nothing of theirs, or another version wrote it.

    Raises StateFolderError if this user's key can't be read.
    """
    try:
        content = read_bytes(folder / name)
    except (OSError, ValueError):
        return None
    document = open_sealed(seal_key(), PURPOSE, FILE, content)
    if document is None:
        return None
    try:
        known = Known(paths=document["paths"], texts=document["texts"])
        written = {one.name: document[one.name] for one in fields(History) if one.name in document}
        lists = {"tried": tuple(document.get("tried", ())), "versions": tuple(document["versions"])}
        return History(**written | lists, known=known)
    except (KeyError, TypeError):  # TypeError: a field without default is not there
        return None

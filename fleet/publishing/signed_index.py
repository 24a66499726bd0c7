"""The publisher's side of a registry's index: TUF metadata that is read, checked, extended, signed and written.

What is there is extended only if the publisher's own key signed it: whoever can write to the folder gets nothing of
theirs signed. Timestamp and snapshot pin each part by its version and SHA-256, so that no part stands in for another
one, nor an older one for a newer one. All files but `timestamp.json` have a version in their names and are written
first, so that a publisher who is killed leaves the old index. Versions are seconds since 1970 and always grow.

What it does not cover: an older index that somebody put back before it is extended. Publish from a folder of your own,
and copy that. Nor, in an index that a version without these SHA-256 wrote, the parts that have not changed since: they
are pinned by version alone, which several of them share.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    TOP_LEVEL_ROLE_NAMES,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from contract.errors import RegistryError, first_line
from contract.files.untrusted_json import read_bytes
from contract.files.whole_files import replace_file
from submodel.registry.index import (
    BIN_BITS,
    BIN_PREFIX,
    LIMITS,
    METADATA,
    PUBLISHED_AT,
    REPOSITORIES,
    ROOT_FILE,
    root_keys,
)

_Signed = TypeVar("_Signed", Root, Timestamp, Snapshot, Targets)
# Of what timestamp and snapshot pin; these two alone are renewed, and end soon.
LASTING_DAYS: Final = 3650


class SignedIndex:
    """The index of the registry in a folder, for the publisher who holds its key. One process at a time."""

    def __init__(self, folder: Path, signer: Signer, *, is_new: bool) -> None:
        """Read and check the index in `folder`, or begin one if `is_new`.

        Raises RegistryError if there is none, if it is damaged, and if another key signed any of it.
        """
        self._folder, self._signer = folder, signer
        self._key = signer.public_key
        self._parts: dict[str, Targets] = {}  # that were read or made
        self._changed: set[str] = set()  # the names of those that `save` writes
        self._is_new = is_new
        if is_new:
            self._root, self._targets = self._make_root(), self._make_targets()
            self._snapshot = Snapshot()  # `save` says what it pins
            self._timestamp_version = 0
            self._parts = {name: Targets() for name in self._bins.get_roles()}
            self._changed = set(self._parts)
            return
        try:
            self._root = self._read(Root, Root.type)
            timestamp = self._read(Timestamp, Timestamp.type, self._root)
            self._snapshot = self._read(Snapshot, Snapshot.type, self._root, timestamp.snapshot_meta)
            self._targets = self._read(Targets, Targets.type, self._root, self._snapshot.meta["targets.json"])
        except KeyError as error:
            raise RegistryError(f"The index in {folder} lacks {error}; copy it again.") from error
        self._timestamp_version = timestamp.version

    def find(self, path: str) -> TargetFile | None:
        """Return what the index says of a document."""
        return self._bin_of(path)[1].targets.get(path)

    def read(self, target: TargetFile) -> bytes:
        """Return a document that `find` knows; raises OSError or ValueError if it can't be read or has changed."""
        content = read_bytes(self._folder / REPOSITORIES / target.get_prefixed_paths()[0])
        try:
            target.verify_length_and_hashes(content)
        except RepositoryError as error:
            raise ValueError("its document has changed") from error
        return content

    def put(self, path: str, content: bytes, published_at: str | None = None) -> None:
        """Write a document below `repositories/` and put it into the index; `save` signs it.

        published_at: in ISO 8601. It is no part of the document, so that the same bundle has the same document.
        """
        name, targets = self._bin_of(path)
        target = TargetFile.from_data(path, content, ["sha256"])
        if published_at is not None:
            target.unrecognized_fields["custom"] = {PUBLISHED_AT: published_at}
        write_bytes(self._folder / REPOSITORIES / target.get_prefixed_paths()[0], content)
        targets.targets[path] = target
        self._changed.add(name)

    def remove(self, path: str) -> bool:
        """Take a document out of the index, which `save` signs; return whether it was there. Its file stays."""
        name, targets = self._bin_of(path)
        if targets.targets.pop(path, None) is None:
            return False
        self._changed.add(name)
        return True

    def save(self, days: float) -> None:
        """Sign and write what changed, valid for so many days; `timestamp.json` last, which makes it the index."""
        if self._is_new:
            self._write(ROOT_FILE, self._root, LASTING_DAYS)
            self._snapshot.meta["targets.json"] = self._write_part(Targets.type, self._targets, LASTING_DAYS)
        for name in sorted(self._changed):
            targets = self._parts[name]
            targets.version = self._after(targets.version)
            self._snapshot.meta[f"{name}.json"] = self._write_part(name, targets, LASTING_DAYS)
        self._changed, self._is_new = set(), False
        self._snapshot.version = self._after(self._snapshot.version)
        pinned = self._write_part(Snapshot.type, self._snapshot, days)
        self._timestamp_version = self._after(self._timestamp_version)
        timestamp = Timestamp(version=self._timestamp_version, snapshot_meta=pinned)
        self._write("timestamp.json", timestamp, days)

    @property
    def _bins(self) -> SuccinctRoles:
        delegations = self._targets.delegations
        if delegations is None or delegations.succinct_roles is None:
            raise RegistryError(f"The index in {self._folder} is of another form; publish into a new folder.")
        return delegations.succinct_roles

    def _bin_of(self, path: str) -> tuple[str, Targets]:
        name = self._bins.get_role_for_target(path)
        if name not in self._parts:
            known = self._snapshot.meta.get(f"{name}.json")
            if known is None:
                raise RegistryError(f"The index in {self._folder} lacks {name}; copy it again.")
            self._parts[name] = self._read(Targets, name, self._targets, known)
        return name, self._parts[name]

    def _read(
        self, kind: type[_Signed], role: str, delegator: Root | Targets | None = None, pinned: MetaFile | None = None
    ) -> _Signed:
        """The signed part of a role's file of metadata, once its signature is checked; a root's by itself and our key.

        pinned: what the snapshot or the timestamp says of the file; None for those two that nothing pins.
        """
        name = f"{role}.json" if pinned is None else f"{pinned.version}.{role}.json"
        path = self._folder / METADATA / (ROOT_FILE if kind is Root else name)
        try:
            content = read_bytes(path, LIMITS.targets_max_length)
            if pinned is not None:
                pinned.verify_length_and_hashes(content)
            metadata: Metadata[Any] = Metadata.from_bytes(content)
            if delegator is None:
                delegator = metadata.signed
                if not isinstance(delegator, Root) or root_keys(delegator) != [self._key.keyval["public"]]:
                    raise RegistryError(
                        f"The registry in {self._folder} is signed with another key than yours; publish with that one, "
                        "or into a new folder."
                    )
            delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
            if not isinstance(metadata.signed, kind):
                raise ValueError(f"it is of the type {metadata.signed.type}, not {kind.type}")
            if pinned is not None and metadata.signed.version != pinned.version:
                raise ValueError(f"it has the version {metadata.signed.version}, and the index names {pinned.version}")
        except (OSError, ValueError, KeyError, RepositoryError) as error:
            raise RegistryError(
                f"{path} can't be used ({getattr(error, 'strerror', None) or first_line(error, 200)}); copy the "
                "registry again."
            ) from error
        return metadata.signed

    def _make_root(self) -> Root:
        root = Root(version=1, consistent_snapshot=True)
        for role in sorted(TOP_LEVEL_ROLE_NAMES):
            root.add_key(self._key, role)
        return root

    def _make_targets(self) -> Targets:
        bins = SuccinctRoles([self._key.keyid], 1, BIN_BITS, BIN_PREFIX)
        delegations = Delegations({self._key.keyid: self._key}, succinct_roles=bins)
        return Targets(version=self._after(0), delegations=delegations)

    def _write_part(self, role: str, signed: Targets | Snapshot, days: float) -> MetaFile:
        """Write a file that has its version in its name; return what pins it."""
        content = self._write(f"{signed.version}.{role}.json", signed, days)
        return MetaFile.from_data(signed.version, content, ["sha256"])

    def _write(self, name: str, signed: Any, days: float) -> bytes:
        signed.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
        metadata = Metadata(signed)
        metadata.sign(self._signer)
        content = metadata.to_bytes(JSONSerializer(compact=True))
        write_bytes(self._folder / METADATA / name, content)
        return content

    @staticmethod
    def _after(version: int) -> int:
        return max(version + 1, int(time.time()))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replace_file(path) as fresh:
        fresh.write_bytes(content)

"""`submodel-fleet publish`: bundles into a registry's folder, or a name out of it, and its index signed again.

Files are written first, under their SHA-256, then the documents that name them, then the index: whoever reads the
folder meanwhile, or after a kill, finds the old index with all that it names. A bundle that can't be published is a row
with its sentence; the others are published.

What it does not cover: removing files that no index names any more, and registries that are no folder. A bucket is a
copy of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from builder.lock_file import hold_lock
from contract.bundle.bundle import read_bundle
from contract.bundle.manifest import MANIFEST_FILE, build_of, with_checksum
from contract.bundle.trusted_builds import check_trusted
from contract.documents import FileFacts, Manifest
from contract.errors import RegistryError, SubmodelError, first_line
from contract.files.file_names import is_stray
from contract.files.seals import keep_key
from contract.files.untrusted_json import parse_json, read_bytes
from contract.progress import OnEvent, OnProgress, no_event, no_progress
from exporters.packed_bundle import has_drafts, without_drafts
from fleet.publishing.found_bundles import find_bundles, name_of
from fleet.publishing.signed_index import SignedIndex
from submodel.registry.index import (
    BUNDLE,
    FILES,
    METADATA,
    SCHEMA,
    RepositoryDocument,
    find_bundle,
    read_document,
    target_path,
)
from submodel.registry.names import given_name
from submodel.registry.store import CHUNK_BYTES, FileStore

MAX_KEY_BYTES: Final = 1 << 16
# Of the texts that a bundle was built of, its successor knows so many. A renamed file's text is the same. One text that
# many repositories have, such as a licence or an empty module, is too little unless there were ten at most.
LEAST_SHARE: Final = 0.1
VALID_DAYS: Final = 30.0  # a nightly run renews it; a laptop refuses an index that nobody has renewed for so long


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """What to publish, and where."""

    folder: Path  # a bundle, a repository that has one, or a folder of either
    registry: Path
    key_file: Path  # the private key: PEM, PKCS 8, Ed25519
    is_new: bool = False  # begin a registry; the key is made if there is none
    name: str | None = None  # of one bundle's repository; default: that of its git remote
    drafts: bool = True
    valid_days: float = VALID_DAYS


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """What became of one bundle."""

    bundle: Path
    state: str  # "published", "unchanged" or "failed"
    repository: str | None = None
    build: str | None = None
    written_bytes: int = 0  # of files that the registry did not have
    has_drafts: bool = False  # whether the repository's own code goes along, as tokens
    error: str | None = None


def run_publish(
    settings: PublishSettings,
    on_bundle: OnProgress = no_progress,
    on_event: OnEvent = no_event,
) -> tuple[str, list[PublishedRow]]:
    """Publish all bundles of a folder; return the registry's public key and a row for each bundle.

    on_bundle: gets bundles done so far, and in all. on_event: gets a sentence if another command is to be waited for,
    and about what is left out. Raises RegistryError if there is nothing to publish, the key can't be used, or the
    registry is none, or is signed with another key, and LockError if the registry's disk knows no locks.
    """
    bundles = find_bundles(settings.folder, on_event)
    if settings.name is not None and len(bundles) > 1:
        raise RegistryError(
            f"--repository names one bundle, and {settings.folder} has {len(bundles)}; publish one of them alone, such "
            f"as {bundles[0][0]}."
        )
    _check_registry(settings.registry, is_new=settings.is_new)
    signer = _open_key(settings.key_file, settings.registry, is_new=settings.is_new)
    settings.registry.mkdir(parents=True, exist_ok=True)
    rows: list[PublishedRow] = []
    names: dict[str, Path] = {}  # whose bundle has each name
    with hold_lock(settings.registry / ".lock", on_event):
        _check_registry(settings.registry, is_new=settings.is_new)  # another publisher may have begun it meanwhile
        index = SignedIndex(settings.registry, signer, is_new=settings.is_new)
        store = FileStore(settings.registry / FILES)
        store.forget_partial()
        for number, (bundle, is_named) in enumerate(bundles):
            on_bundle(number, len(bundles))
            name = None
            try:
                name = name_of(bundle) if settings.name is None else given_name(settings.name)
                if name in names:
                    raise RegistryError(
                        f"{bundle} is another bundle of {name} than {names[name]}; publish it alone, with a name of "
                        "its own by --repository."
                    )
                names[name] = bundle  # also if it fails: the other one does not take its place
                build = build_of(bundle)
                if not is_named:  # a clone may have brought it along
                    check_trusted(bundle, build)
                row = _publish(bundle, build, name, settings, index, store)
            except SubmodelError as error:
                row = PublishedRow(bundle=bundle, state="failed", repository=name, error=str(error))
            except OSError as error:
                why = f"{bundle} can't be published ({error.strerror or error}); look at the disk of the registry."
                row = PublishedRow(bundle=bundle, state="failed", repository=name, error=why)
            rows.append(row)
        if not settings.is_new or any(row.state != "failed" for row in rows):  # else the next run begins it
            index.save(settings.valid_days)
    return signer.public_key.keyval["public"], rows


def run_remove(
    name: str,
    registry: Path,
    key_file: Path,
    valid_days: float,
    on_event: OnEvent,
) -> tuple[str, str]:
    """Take a repository's name out of a registry's index; return the registry's public key and the name.

    Its files stay in the folder. on_event: gets a sentence if another command is to be waited for. Raises RegistryError
    if the registry has no such name, and as `run_publish`.
    """
    name = given_name(name)
    _check_registry(registry, is_new=False)
    signer = _open_key(key_file, registry, is_new=False)
    with hold_lock(registry / ".lock", on_event):
        index = SignedIndex(registry, signer, is_new=False)
        if not index.remove(target_path(name)):
            raise RegistryError(f"The registry {registry} has no bundle for {name}; give the name that `pull` names.")
        index.save(valid_days)
    return signer.public_key.keyval["public"], name


def _check_registry(folder: Path, *, is_new: bool) -> None:
    """Raise RegistryError unless a registry is there, or is to be begun where nothing else lies."""
    has_index = (folder / METADATA / "timestamp.json").is_file()
    if has_index and is_new:
        raise RegistryError(f"{folder} is a registry already; leave --new out.")
    if not has_index and not is_new:
        raise RegistryError(f"{folder} is no registry (it has no index); copy all of it, or begin one with --new.")
    ours = {METADATA, "repositories", FILES, ".lock"}  # left by a first run that was stopped
    names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    if is_new and folder.exists() and not (folder.is_dir() and all(name in ours or is_stray(name) for name in names)):
        raise RegistryError(f"{folder} holds other files; begin the registry in an empty or a new folder.")


def _open_key(path: Path, registry: Path, *, is_new: bool) -> CryptoSigner:
    if path.resolve().is_relative_to(registry.resolve()):
        raise RegistryError(f"The key {path} would lie in the registry, which everybody reads; keep it elsewhere.")
    if is_new and not os.path.lexists(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_key(path, lambda: CryptoSigner.generate_ed25519().private_bytes)
    try:
        with path.open("rb") as file:  # a pipe too: CI gives secrets so
            key = load_pem_private_key(file.read(MAX_KEY_BYTES), None)
    except FileNotFoundError as error:
        raise RegistryError(f"There is no key {path}; name the file that --new made.") from error
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a password
        why = getattr(error, "strerror", None) or first_line(error, 200)
        raise RegistryError(f"The key {path} can't be used ({why}); give a PEM file without a password.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RegistryError(f"The key {path} is not an Ed25519 key; name the file that --new made.")
    return CryptoSigner(key)


def _publish(
    bundle: Path, build: str, name: str, settings: PublishSettings, index: SignedIndex, store: FileStore
) -> PublishedRow:
    checked, content = read_bundle(bundle), read_bytes(bundle / MANIFEST_FILE)
    if {checked.build, hashlib.sha256(content).hexdigest()} != {build}:
        raise RegistryError(f"{bundle} was replaced while it was read; publish it again.")
    manifest = checked.manifest
    if not settings.drafts:
        manifest = without_drafts(manifest)
        content = with_checksum(manifest).encode()
    facts = FileFacts(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    document = RepositoryDocument(schema=SCHEMA, repository=name, artifacts=[{"kind": BUNDLE, "file": facts}])
    encoded = f"{json.dumps(document, indent=2)}\n".encode()
    path = target_path(name)
    known = index.find(path)
    if settings.name is None and not _is_named(known, encoded):  # the clone's own git configuration has named it
        _check_successor(bundle, name, manifest, index, store)
    is_known = _has_document(index, known, encoded)
    sizes: list[int] = []
    for relative, file in manifest["files"].items():
        if not store.has(file):
            store.add(file, _chunks(bundle / relative), str(bundle / relative), sizes.append)
    if not store.has(facts):
        store.add(facts, iter([content]), str(bundle / MANIFEST_FILE), sizes.append)
    if not is_known:
        index.put(path, encoded, datetime.now(UTC).isoformat(timespec="seconds"))
    state = "unchanged" if is_known and not sizes else "published"  # files that were lost are added again
    return PublishedRow(
        bundle=bundle,
        state=state,
        repository=name,
        build=facts["sha256"],
        written_bytes=sum(sizes),
        has_drafts=has_drafts(manifest["files"]),
    )


def _has_document(index: SignedIndex, known: TargetFile | None, encoded: bytes) -> bool:
    """Whether the registry has this very document: its index may name one that was lost or damaged."""
    if known is None or not _is_named(known, encoded):
        return False
    try:
        return index.read(known) == encoded
    except (OSError, ValueError):
        return False


def _is_named(known: TargetFile | None, encoded: bytes) -> bool:
    """Whether the signed index names this very document, which then replaces nothing."""
    return known is not None and known.hashes.get("sha256") == hashlib.sha256(encoded).hexdigest()


def _check_successor(bundle: Path, name: str, manifest: Manifest, index: SignedIndex, store: FileStore) -> None:
    """Raise RegistryError if the registry has a bundle of that name which was built of other files than this one.

    Also if that bundle is lost or damaged: whoever can write to the registry's folder needs no key for that.
    """
    known = index.find(target_path(name))
    if known is None:
        return
    advice = f"If it is the same repository, publish {bundle} alone with --repository {name}."
    try:
        document = read_document(index.read(known), name, f"The registry {store.folder.parent}")
        before = _texts_of(_published(document, store))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RegistryError(
            f"The registry's bundle of {name} can't be compared with this one ({why}). {advice}"
        ) from error
    shared = len(before & _texts_of(manifest))
    if shared < LEAST_SHARE * len(before):
        raise RegistryError(
            f"The registry's bundle of {name} was built of other files: of its {len(before):,} this one knows "
            f"{shared:,}. {advice}"
        )


def _published(document: RepositoryDocument, store: FileStore) -> Mapping[str, Any]:
    """The bundle.json that a document names; raises OSError or ValueError unless the registry has it."""
    file = find_bundle(document)
    if file is None:
        raise ValueError("it names no bundle")
    content = read_bytes(store.place_of(file["sha256"]))
    if hashlib.sha256(content).hexdigest() != file["sha256"]:
        raise ValueError(f"its {MANIFEST_FILE} has changed")
    manifest: Mapping[str, Any] = parse_json(content)
    return manifest


def _texts_of(manifest: Mapping[str, Any]) -> set[str]:
    """The SHA-256 of the texts that a bundle's build has read."""
    return {*manifest.get("learned_sha256", ()), *manifest.get("held_out_sha256", ())}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk

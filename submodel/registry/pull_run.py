"""`submodel pull`: the repository's bundle from a registry, checked, put in its place and trusted.

The order is what keeps the old model: first the signed index, then the files into the store, each compared with its
hash, then the whole bundle beside the old one, and last the exchange (`contract.bundle.bundle.replace_bundle`). Nothing
of a bundle is parsed before its hash was found right. The address and the key are the user's: from the command line, or
from `registry.json` in the state folder, never from the workspace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from tuf.api.exceptions import DownloadError

from builder.bases.catalogue import CACHE_VARIABLE, cache_folder
from builder.lock_file import hold_lock
from contract.bundle.bundle import WORKSPACE_BUNDLE, graph_facts, graph_of, read_bundle, replace_bundle
from contract.bundle.manifest import AGAIN, MANIFEST_FILE, MAX_MANIFEST_BYTES, build_of, check_manifest
from contract.bundle.trusted_builds import trust_build
from contract.documents import FileFacts
from contract.errors import BundleError, NewerBundleError, RegistryError, first_line
from contract.files.disk_calls import check_writable
from contract.files.state_folder import state_folder
from contract.files.untrusted_json import parse_json
from contract.progress import OnEvent, OnProgress, no_event, no_progress
from contract.repository.texts import real_folder
from lsp_server.pulled_builds import (
    REGISTRY_FILE,
    PulledFrom,
    note_pulled,
    read_known_registry,
    write_known_registry,
)
from submodel.build.lock import bundle_lock
from submodel.registry.fetcher import RegistryFetcher, base_address
from submodel.registry.index import RegistryIndex, RepositoryDocument, file_path, find_bundle, read_key
from submodel.registry.names import given_name, names_of, repository_root
from submodel.registry.store import FileStore


@dataclass(frozen=True, kw_only=True)
class PullSettings:
    """What to pull, from where, trusted by which key."""

    folder: Path | None = None  # default: the current one; of the repository, or below its root
    address: str | None = None  # default: the one of `registry.json`
    key: str | None = None  # default: the one of `registry.json`
    name: str | None = None  # default: those of the git remotes; with a folder it is that folder's, not its root's


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What a pull did."""

    repository: str  # its name in the registry
    address: str
    bundle: Path
    build: str
    state: str  # "pulled", or "unchanged" if that bundle was there
    fetched_bytes: int  # over the network or from the mirror, index included
    bundle_bytes: int
    seconds: float
    published_at: str | None  # ISO 8601, in UTC; None if the index does not say


def run_pull(
    settings: PullSettings,
    on_bytes: OnProgress = no_progress,
    on_event: OnEvent = no_event,
) -> Pulled:
    """Put the repository's bundle from the registry in its place, and trust it.

    on_bytes: gets bytes of files fetched so far, and in all. on_event: gets a sentence if another command is to be
    waited for. Raises RegistryError, BundleError or another SubmodelError, each one sentence; the bundle that was there
    is then as it was.
    """
    started_s = time.monotonic()
    address, key = _find_registry(settings)
    folder = settings.folder or Path()
    if settings.folder is not None:
        real_folder(folder)  # a typing error would become a folder, or stand for the repository around it
    is_part = settings.folder is not None and settings.name is not None  # it may be a package of a larger repository
    root = folder.absolute() if is_part else repository_root(folder)
    if settings.name is not None and not is_part and root != folder.absolute():
        raise RegistryError(
            f"This folder lies in the repository {root}; give the folder that the bundle of {settings.name} is for "
            f"behind the address: `.` for this one, or {root}."
        )
    names = [given_name(settings.name)] if settings.name is not None else names_of(root)
    store = FileStore(_own_folder(cache_folder() / "registry"))
    target = root / WORKSPACE_BUNDLE
    fetcher = RegistryFetcher()
    # Two pulls at once: the second waits, and finds the files. One lock for the store, one for what was seen.
    with hold_lock(store.folder / "lock", on_event), hold_lock(state_folder() / "registries.lock", on_event):
        index = RegistryIndex(address, key, fetcher)
        if settings.key is not None:  # also where the registry has no bundle for this repository
            write_known_registry(address, key)
        document, facts = _find_bundle(index, names, address, target)
        published_at = index.published_at(document["repository"])
        is_new = not _is_there(target, facts)
        if is_new:
            files = _fetch(store, fetcher, address, facts, on_bytes)
            keeps_previous = graph_of(target) != graph_facts(files)  # else there is nothing to go back to
            with bundle_lock(target), replace_bundle(target, keeps_previous=keeps_previous) as fresh:
                for relative, file in {**files, MANIFEST_FILE: facts}.items():
                    store.put(file, fresh / relative)
                read_bundle(fresh)
        else:
            trust_build(facts["sha256"])
        name = None if settings.name is None else names[0]
        note_pulled(facts["sha256"], PulledFrom(address=address, name=name, key=key))
        store.forget_partial()
        store.forget_unused()
    files = read_bundle(target, verify=False).manifest["files"]
    return Pulled(
        repository=document["repository"],
        address=address,
        bundle=target,
        build=facts["sha256"],
        state="pulled" if is_new else "unchanged",
        fetched_bytes=fetcher.fetched_bytes,
        bundle_bytes=facts["bytes"] + sum(file["bytes"] for file in files.values()),
        seconds=round(time.monotonic() - started_s, 2),
        published_at=None if published_at is None else published_at.isoformat(timespec="seconds"),
    )


def _own_folder(folder: Path) -> Path:
    """Return the cache's folder of pulled files, made with mode 0700: models and drafts hold a repository's code."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_writable(folder)
    except OSError as error:
        raise RegistryError(
            f"The cache folder {folder} can't be written ({error.strerror or error}); free space, or set "
            f"{CACHE_VARIABLE} to a folder that can be."
        ) from error
    return folder


def _find_registry(settings: PullSettings) -> tuple[str, str]:
    """Return address and key: what the user gives, else what the user's own `registry.json` has."""
    kept = _kept_settings() if settings.address is None or settings.key is None else {}
    address, key = settings.address or kept.get("address"), settings.key or kept.get("key")
    if not isinstance(address, str):
        raise RegistryError("No registry is set; give its address, and its public key with --key.")
    if not isinstance(key, str):
        raise RegistryError(
            f"No key is set for the registry {address}; give its public key with --key: ask the people who publish it."
        )
    return base_address(address), read_key(key)


def _kept_settings() -> Mapping[str, Any]:
    path = state_folder() / REGISTRY_FILE
    try:
        return read_known_registry()
    except (OSError, ValueError) as error:
        raise RegistryError(f"{path} can't be read ({first_line(error)}); correct or remove it.") from error


def _find_bundle(
    index: RegistryIndex, names: list[str], address: str, target: Path
) -> tuple[RepositoryDocument, FileFacts]:
    for name in names:
        document = index.find(name)
        facts = None if document is None else find_bundle(document)
        if document is not None and facts is not None:
            return document, facts
    wanted = " or ".join(names)
    if os.path.lexists(target):
        raise RegistryError(
            f"The registry {address} has no bundle for {wanted}: it was removed, or has another name there, which "
            f"--repository gives; the one in {target} stays, and `submodel trust --forget` stops its use."
        )
    raise RegistryError(
        f"The registry {address} has no bundle for {wanted}; publish one, ask the people who do, or name the "
        "repository with --repository."
    )


def _is_there(target: Path, facts: FileFacts) -> bool:
    """Whether the very bundle that the index names lies there, whole."""
    try:
        return build_of(target) == facts["sha256"] and read_bundle(target).build == facts["sha256"]
    except BundleError:
        return False


def _fetch(
    store: FileStore, fetcher: RegistryFetcher, address: str, facts: FileFacts, on_bytes: OnProgress
) -> Mapping[str, FileFacts]:
    """Bring all files of a bundle into the store; return those that its bundle.json lists, by name."""
    if facts["bytes"] > MAX_MANIFEST_BYTES:
        raise RegistryError(f"{address} names a {MANIFEST_FILE} of {facts['bytes']:,} bytes; publish it again.")
    if not store.has(facts):
        _add(store, fetcher, address, facts, lambda size: None)
    path = store.place_of(facts["sha256"])
    try:
        manifest: Any = parse_json(path.read_bytes())
    except ValueError as error:
        raise BundleError(f"{address} has a {MANIFEST_FILE} that is no JSON ({error}); publish it again.") from error
    try:
        check_manifest(manifest, Path(MANIFEST_FILE))
    except NewerBundleError as error:
        raise NewerBundleError(f"The bundle in {address} can't be used: its {error}") from error
    except BundleError as error:
        why = str(error).removesuffix(f"; {AGAIN}.")
        raise BundleError(f"{address} has a {MANIFEST_FILE} that can't be used ({why}); publish it again.") from error
    files: dict[str, FileFacts] = manifest["files"]
    wanted = {one["sha256"]: one for one in files.values()}
    missing = [file for file in wanted.values() if not store.has(file)]
    total, done = sum(file["bytes"] for file in missing), 0
    store.check_space(total)

    def count(size: int) -> None:
        nonlocal done
        done += size
        on_bytes(done, total)

    for file in missing:
        _add(store, fetcher, address, file, count)
    return files


def _add(
    store: FileStore, fetcher: RegistryFetcher, address: str, facts: FileFacts, on_bytes: Callable[[int], None]
) -> None:
    url = urljoin(address, file_path(facts["sha256"]))
    try:
        store.add(facts, fetcher.fetch(url), url, on_bytes)
    except DownloadError as error:
        raise RegistryError(f"{first_line(error)}; the files that were fetched whole are kept, try again.") from error

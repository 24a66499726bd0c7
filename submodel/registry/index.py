"""A registry's signed index, and how it is asked: metadata of The Update Framework (TUF), read by python-tuf.

A registry is a folder of plain files, so that any web server, bucket or disk can hold it and a copy of it is a mirror:

    metadata/      TUF's: 1.root.json, timestamp.json, and N.snapshot.json, N.targets.json, N.repositories-XX.json
    repositories/  a document for each repository, a target of TUF: which artifacts there are (`RepositoryDocument`)
    files/         all files of all artifacts, once each, under their SHA-256

One Ed25519 key signs all metadata. A user gives its public half, and that alone makes a registry trusted: the first
root must name this key and no other. python-tuf then refuses foreign signatures, versions older than the last one seen
(kept in the state folder), metadata that was not renewed in time, parts that are not those whose version and SHA-256
the index names, and files that are longer than they may be. The repositories are spread over 256 files (TUF's hash
bins), so that a pull reads one of them.

What it does not cover: changing the key. A new key is a new registry to its users.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypedDict
from urllib.parse import urljoin

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import Updater, UpdaterConfig

from contract.bundle.manifest import are_facts
from contract.documents import FileFacts
from contract.errors import RegistryError, first_line
from contract.files.state_folder import StateFolderError, check_private, state_folder
from contract.files.untrusted_json import parse_json
from submodel.registry.fetcher import NOT_FOUND, RegistryFetcher

SCHEMA: Final = 1
BUNDLE: Final = "bundle"
METADATA, REPOSITORIES, FILES = "metadata", "repositories", "files"
ROOT_FILE: Final = "1.root.json"
BIN_BITS: Final = 8  # 256 bins: of 100,000 repositories a pull reads about 100 kB
BIN_PREFIX: Final = "repositories"
PUBLISHED_AT: Final = "published_at"  # a key of what TUF calls custom: when a document was put into the index
MAX_DOCUMENT_BYTES: Final = 1 << 20
LIMITS: Final = UpdaterConfig()  # 0.5 MB of root, 16 kB of timestamp, 2 MB of snapshot, 5 MB of targets
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_IS_MISSING: Final = "it is no registry, or half copied: copy it again"
_ADVICE: Final = {  # by the status of an answer
    NOT_FOUND: _IS_MISSING,
    HTTPStatus.FORBIDDEN: _IS_MISSING,  # what a bucket answers for a file that does not exist
    HTTPStatus.UNAUTHORIZED: "it asks for a password, and pull sends none: copy the registry to a folder and pull that",
}


class ArtifactFacts(TypedDict):
    """One artifact of a repository. Of a bundle, `file` is its bundle.json, which lists the other files."""

    kind: str
    file: FileFacts


class RepositoryDocument(TypedDict):
    """What a registry has for a repository. Readers pass over kinds that they don't know."""

    schema: int
    repository: str
    artifacts: list[ArtifactFacts]


def target_path(name: str) -> str:
    """Return the path of a repository's document below `repositories/`: it is safe whatever the name holds."""
    return f"{hashlib.sha256(name.encode()).hexdigest()}.json"


def file_path(sha256: str) -> str:
    """Return the path of a file of an artifact, from the registry's root."""
    return f"{FILES}/{sha256[:2]}/{sha256}"


def read_key(text: str) -> str:
    """Return a public key in lower case; raises RegistryError unless it is 64 hexadecimal digits."""
    key = text.strip().lower()
    if not _KEY.fullmatch(key):
        raise RegistryError(
            f"{text!r} is no public key of a registry; give the 64 hexadecimal digits that `submodel-fleet publish` "
            "prints."
        )
    return key


class RegistryIndex:
    """The index of the registry at `address` (`base_address`), trusted by the public key `key` (`read_key`).

    One at a time for each key. All errors are RegistryErrors of one sentence.
    """

    def __init__(self, address: str, key: str, fetcher: RegistryFetcher) -> None:
        self._address, self._fetcher = address, fetcher
        with self._sentences():
            url = urljoin(address, f"{METADATA}/{ROOT_FILE}")
            root = fetcher.download_bytes(url, LIMITS.root_max_length)
            self._check_root(root, key)
            self._updater = Updater(
                metadata_dir=str(_seen_folder(key)),
                metadata_base_url=urljoin(address, METADATA),
                fetcher=fetcher,
                config=LIMITS,
                bootstrap=root,
            )
            self._updater.refresh()

    def find(self, name: str) -> RepositoryDocument | None:
        """Return what the registry has for a repository's name, checked by signature and hash; None for nothing."""
        with self._sentences():
            target = self._updater.get_targetinfo(target_path(name))
            if target is None:
                return None
            prefixed = target.get_prefixed_paths()[0]
            limit = min(target.length, MAX_DOCUMENT_BYTES)
            content = self._fetcher.download_bytes(urljoin(self._address, f"{REPOSITORIES}/{prefixed}"), limit)
            target.verify_length_and_hashes(content)
        return read_document(content, name, self._address)

    def published_at(self, name: str) -> datetime | None:
        """Return when the bundle of a repository's name was published, in UTC; None if the index has no such date."""
        with self._sentences():
            target = self._updater.get_targetinfo(target_path(name))
        custom = None if target is None else target.custom
        given = custom.get(PUBLISHED_AT) if isinstance(custom, dict) else None
        try:
            return datetime.fromisoformat(given).astimezone(UTC) if isinstance(given, str) else None
        except (ValueError, OverflowError):
            return None

    def _check_root(self, content: bytes, key: str) -> None:
        if content.lstrip().startswith(b"<"):
            raise RegistryError(
                f"{self._address} answers with a web page, such as a login, and not with the index of a registry; look "
                "at the address, or copy the registry to a folder and pull that."
            )
        found = root_keys(Metadata[Root].from_bytes(content).signed)
        if found != [key]:
            raise RegistryError(
                f"The registry {self._address} is signed with the key {', '.join(found)[:200]}, which is not the one "
                "that you gave; ask the people who publish it for its key."
            )

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn python-tuf's errors into a sentence for the user."""
        where = f"The index of {self._address}"
        try:
            yield
        except exceptions.UnsignedMetadataError as error:
            raise RegistryError(
                f"{where} is not signed with your key, so nothing of it was used; ask the people who publish it."
            ) from error
        except exceptions.BadVersionNumberError as error:
            raise RegistryError(
                f"{where} is older than the one that you saw last, so nothing of it was used; copy the mirror again, "
                f"or ask the people who publish it ({first_line(error, 200)})."
            ) from error
        except exceptions.ExpiredMetadataError as error:
            raise RegistryError(
                f"{where} was not renewed in time, so it may be an old one; publish again or copy the mirror again, "
                "and look at this machine's clock."
            ) from error
        except exceptions.RepositoryError as error:
            raise RegistryError(f"{where} is damaged ({first_line(error, 200)}); copy or publish it again.") from error
        except exceptions.DownloadLengthMismatchError as error:
            raise RegistryError(
                f"{where} has a file that is longer than it may be, so it was not read; copy or publish it again."
            ) from error
        except exceptions.DownloadHTTPError as error:
            advice = _ADVICE.get(error.status_code, "try again later")
            raise RegistryError(f"{first_line(error)}; {advice}.") from error
        except exceptions.DownloadError as error:
            raise RegistryError(f"{first_line(error)}; try again, or give another address.") from error
        except OSError as error:
            raise StateFolderError(
                f"What was seen of {self._address} can't be kept ({error.filename or 'a temporary file'}: "
                f"{error.strerror or error}); free space there."
            ) from error


def root_keys(root: object) -> list[str]:
    """Return the public keys that a root names for itself: hexadecimal digits, or the type of one not Ed25519."""
    if not isinstance(root, Root):  # other metadata under its name
        return []
    keys = [root.keys[one] for one in root.roles[Root.type].keyids if one in root.keys]
    return sorted(str(one.keyval.get("public")) if one.keytype == "ed25519" else one.keytype for one in keys)


def read_document(content: bytes, name: str, where: str) -> RepositoryDocument:
    """Return a repository's document; raises RegistryError unless it is one, and that of `name`."""
    try:
        document: Any = parse_json(content)
    except ValueError as error:
        raise RegistryError(f"{where} has no valid JSON for {name} ({error}); publish it again.") from error
    is_object = isinstance(document, dict)
    if not is_object or document.get("schema") != SCHEMA:
        found = document.get("schema") if is_object else None
        raise RegistryError(
            f"{where} has the schema {found!r} for {name}, this version reads {SCHEMA}; upgrade submodel."
        )
    artifacts = document.get("artifacts")
    if document.get("repository") != name or not isinstance(artifacts, list) or not all(map(_is_artifact, artifacts)):
        raise RegistryError(f"{where} misstates what it has for {name}; publish it again.")
    return RepositoryDocument(schema=SCHEMA, repository=name, artifacts=artifacts)


def find_bundle(document: RepositoryDocument) -> FileFacts | None:
    """Return the bundle.json that a document names; None if it names no bundle."""
    return next((one["file"] for one in document["artifacts"] if one["kind"] == BUNDLE), None)


def _is_artifact(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return False
    return value["kind"] != BUNDLE or are_facts(value.get("file"))  # other kinds are of a later version


def _seen_folder(key: str) -> Path:
    """Return the folder of what was last seen under a key, in the state folder: no workspace can write there."""
    folder = state_folder() / "registries" / key
    for one in (folder.parent, folder):
        one.mkdir(mode=0o700, exist_ok=True)
        check_private(one, one.lstat())
    return folder

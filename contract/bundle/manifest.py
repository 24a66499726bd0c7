"""bundle.json, the manifest of a bundle: its form, its checksum, and the hashes of the files that it lists.

The bundle as a folder is `contract.bundle.bundle`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from contract.documents import Manifest
from contract.errors import BundleError, NewerBundleError
from contract.files.file_hash import hash_file
from contract.files.file_names import DEVICES, is_stray
from contract.files.untrusted_json import parse_json, read_bytes
from contract.files.whole_files import write_text
from contract.prompt import PromptFormat

SCHEMA = 2
MANIFEST_FILE = "bundle.json"
MODEL_FILE = "onnx/model.onnx"
TOKENIZER_FILE = "tokenizer.json"
CHECKSUM = "checksum"  # the last key of bundle.json: SHA-256 of the file with zeros in its own place
AGAIN = "run `submodel build` or `submodel export` again, or fetch it again with `submodel pull` or `submodel unpack`"
MAX_MANIFEST_BYTES = 16 << 20  # of bundle.json: some 50 kB as a rule
MAX_FILES = 256  # a bundle has about a dozen
MAX_NAME = 200  # characters of a file's name with its folders
SAFE_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+-]*")  # no separator, drive, stream, hidden or odd name
DIGEST = re.compile(r"[0-9a-f]{64}")
_NO_CHECKSUM = "0" * 64
_ENDING = re.compile(rf'"{CHECKSUM}": "([0-9a-f]{{64}})"\n}}\n\Z'.encode())  # how `with_checksum` ends


def read_manifest(folder: Path) -> Manifest:
    """bundle.json of a bundle folder, checked by its checksum and its form, its files unseen; raises BundleError."""
    return read_build_and_manifest(folder)[1]


def build_of(folder: Path) -> str:
    """The build that lies in a bundle folder (`Bundle.build`), nothing of it checked; raises BundleError for none."""
    return hashlib.sha256(_read_content(folder)).hexdigest()


def read_build_and_manifest(folder: Path) -> tuple[str, Manifest]:
    """The SHA-256 of bundle.json and the document in it, checked as `read_manifest` does; raises BundleError."""
    path, content = folder / MANIFEST_FILE, _read_content(folder)
    try:
        document = parse_json(content.decode("utf-8"))
    except ValueError as error:  # not UTF-8, or not JSON
        raise BundleError(f"{path} is not valid JSON ({error}); {AGAIN}.") from error
    check_manifest(document, path)
    ending = _ENDING.search(content)
    if ending is None:
        raise BundleError(f"{path} has no checksum at its end: it was changed, or is of an older version; {AGAIN}.")
    zeroed = content[: ending.start(1)] + _NO_CHECKSUM.encode() + content[ending.end(1) :]
    if ending[1].decode() != hashlib.sha256(zeroed).hexdigest():
        raise BundleError(f"{path} has changed since it was written (its checksum differs); {AGAIN}.")
    return hashlib.sha256(content).hexdigest(), cast(Manifest, document)


def _read_content(folder: Path) -> bytes:
    path = folder / MANIFEST_FILE
    try:
        return read_bytes(path, MAX_MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(f"{folder} is no bundle: it has no {MANIFEST_FILE}; {AGAIN}.") from error
    except OSError as error:
        raise BundleError(f"{path} can't be read ({error.strerror}); check its permissions.") from error
    except ValueError as error:
        raise BundleError(f"{path} can't be read ({error}); {AGAIN}.") from error


def check_manifest(document: Any, where: Path) -> None:
    """Raise BundleError, naming `where` it came from, unless it is a manifest whose files all stay in their folder.

    What readers take for granted of the other keys holds as well: `base` is an object, `parameters` a number, the lists
    of hashes hold hashes, and `variants` names files of the bundle.
    """
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        wrong = f"{where} has the schema {found!r}, this version reads {SCHEMA}"
        if type(found) is int and found > SCHEMA:
            raise NewerBundleError(f"{wrong}; upgrade submodel and restart its server.")
        raise BundleError(f"{wrong}; {AGAIN}.")
    prompt = document.get("prompt")
    if isinstance(prompt, dict) and (name := PromptFormat.unknown_key(prompt)) is not None:
        raise NewerBundleError(
            f"{where} asks for the prompt key {name!r}, which this version does not know; upgrade submodel and restart "
            "its server."
        )
    files = document.get("files")
    if not isinstance(files, dict) or not {MODEL_FILE, TOKENIZER_FILE} <= files.keys():
        raise BundleError(f"{where} lists no {MODEL_FILE} or {TOKENIZER_FILE}; {AGAIN}.")
    for name, facts in files.items():
        if not _is_inside(name) or not are_facts(facts):
            raise BundleError(f"{where} has a bad entry for the file {name!r}; {AGAIN}.")
    if len(files) > MAX_FILES:
        raise BundleError(f"{where} lists {len(files):,} files, and a bundle has at most {MAX_FILES}; {AGAIN}.")
    if len({name.casefold() for name in (MANIFEST_FILE, *files)}) <= len(files):
        raise BundleError(f"{where} has two names that are one to Windows and macOS; {AGAIN}.")
    forms: dict[str, Callable[[Any], bool]] = {
        "base": lambda value: isinstance(value, dict),
        "parameters": lambda value: type(value) is int and value >= 0,
        "held_out_sha256": are_hashes,
        "learned_sha256": are_hashes,
        "variants": lambda value: _are_variants(value, files),
    }
    for key, is_right in forms.items():
        if key in document and not is_right(document[key]):
            raise BundleError(f"{where} has a bad value for {key!r}; {AGAIN}.")


def are_hashes(value: object) -> bool:
    """Whether it is a list of SHA-256."""
    return isinstance(value, list) and all(isinstance(one, str) and DIGEST.fullmatch(one) for one in value)


def are_facts(value: object) -> bool:
    """Whether it is the size and the SHA-256 of a file, as `FileFacts` are."""
    if not isinstance(value, dict):
        return False
    size, digest = value.get("bytes"), value.get("sha256")
    return type(size) is int and size >= 0 and isinstance(digest, str) and DIGEST.fullmatch(digest) is not None


def _are_variants(value: object, files: Mapping[str, Any]) -> bool:
    return isinstance(value, dict) and all(_names_one_of(files, one) for one in value.values())


def _names_one_of(files: Mapping[str, Any], value: object) -> bool:
    name = value.get("file") if isinstance(value, dict) else None
    return isinstance(name, str) and name in files


def _is_inside(name: str) -> bool:
    """Whether a name means the same file below the bundle's folder on every system, and not the manifest."""
    parts = name.split("/")
    return (
        name != MANIFEST_FILE
        and len(name) <= MAX_NAME
        and all(SAFE_PART.fullmatch(part) and not part.endswith(".") for part in parts)
        and not any(part.partition(".")[0].upper() in DEVICES for part in parts)
    )


def write_manifest_of(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write bundle.json last: `manifest` plus the schema and the size and SHA-256 of every file in `folder`."""
    write_manifest(folder, complete_manifest(folder, manifest))


def complete_manifest(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """`manifest` plus the schema and the size and SHA-256 of every file in `folder`, as `write_manifest` takes it.

    What file managers have left in `folder` is no file of the bundle.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and relative != MANIFEST_FILE and not is_stray(path.name):
            files[relative] = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    return {"schema": SCHEMA, **manifest, "files": files}


def write_manifest(folder: Path, document: Mapping[str, Any]) -> None:
    """Replace bundle.json with `document` and a checksum of its own; files of the bundle are as `document` says."""
    write_text(folder / MANIFEST_FILE, with_checksum(document))


def with_checksum(document: Mapping[str, Any]) -> str:
    """The text of bundle.json, whose last key is a checksum of all the others."""
    without = {name: value for name, value in document.items() if name != CHECKSUM} | {CHECKSUM: _NO_CHECKSUM}
    text = json.dumps(without, indent=2, ensure_ascii=False) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return digest.join(text.rsplit(_NO_CHECKSUM, 1))

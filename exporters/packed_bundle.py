"""A bundle as one file, for another laptop: a zip archive that begins with the bundle's own manifest.

The manifest lists every other file with its size and SHA-256, so that an archive is checked against the manifest
alone. Any zip program can look inside. An archive may come from anyone: no size, name or count in it is believed before
it is known to be harmless. This module imports nothing heavy, since a laptop unpacks with the core install.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from contract.bundle.bundle import DECODE_GRAPH_LAYOUT, graph_facts, graph_of, read_bundle, replace_bundle
from contract.bundle.drafts import FOLDER as DRAFTS
from contract.bundle.manifest import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    check_manifest,
    read_manifest,
    with_checksum,
)
from contract.documents import FileFacts, Manifest
from contract.errors import BundleError, ExportError
from contract.files.untrusted_json import NotRegularError, open_regular, parse_json
from contract.files.whole_files import check_no_device, replace_file

SUFFIX = ".submodel"
MAX_EXPANSION = 16  # times the archive's size; weights shrink by a tenth, a tokenizer by four fifths
SMALL_BYTES = 64 << 20  # what may come out of any archive, however small
CHUNK_BYTES = 1 << 20
LEVEL = 1  # deflate finds only the distribution of weights, and the fastest level finds that too
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # zip's earliest: the same bundle gives the same bytes


@dataclass(frozen=True, kw_only=True)
class PackedBundle:
    """What was packed or unpacked."""

    path: Path  # the archive, or the folder that came out of it
    archive_bytes: int
    bundle_bytes: int  # of all files of the bundle
    has_drafts: bool  # whether the repository's own code is inside, as tokens


def pack_bundle(folder: Path, archive: Path, *, drafts: bool = True) -> PackedBundle:
    """Write the bundle `folder` to the file `archive`, whole or not at all.

    drafts: whether the repository's tokens are included; without them the answers are the same, a little later. Raises
    BundleError if the bundle is missing, incomplete or changed, and ExportError if the file can't be written.
    """
    manifest = read_manifest(folder)
    if not drafts:
        manifest = without_drafts(manifest)
    files = manifest["files"]
    _refuse_foreign(archive)
    try:
        with (
            replace_file(archive) as fresh,
            zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as target,
        ):
            target.writestr(_entry(MANIFEST_FILE), with_checksum(manifest).encode())
            for name in sorted(files):
                with target.open(_entry(name, files[name]["bytes"]), "w") as entry:
                    source = _open(folder / name, "build or export the bundle again")
                    _copy(source, entry, folder / name, files[name])
    except OSError as error:
        raise ExportError(
            f"{archive} can't be written ({error.strerror or error}); free space or choose another file with -o."
        ) from error
    return _packed(archive, archive.stat().st_size, files)


def unpack_bundle(archive: Path, folder: Path) -> PackedBundle:
    """Write the bundle in `archive` to `folder`, which it replaces as a whole once every file's SHA-256 is right.

    Raises BundleError if the archive is broken, changed or of another version, or would write elsewhere or too much,
    and ExportError if `folder` can't be written.
    """
    try:
        with _open(archive, "give a file of `submodel pack`") as packed, zipfile.ZipFile(packed) as source:
            size = os.fstat(packed.fileno()).st_size
            content = _first_entry(source, archive)
            manifest = cast(Manifest, parse_json(content))
            check_manifest(manifest, archive)
            files = _check_entries(source, manifest, archive, size)
            keeps_previous = graph_of(folder) != graph_facts(files)  # else there is nothing to go back to
            with replace_bundle(folder, keeps_previous=keeps_previous) as fresh:
                total = sum(facts["bytes"] for facts in files.values())
                free = shutil.disk_usage(fresh).free
                if total > free:
                    raise BundleError(
                        f"{archive} unpacks to {total:,} bytes, and {folder.absolute().parent} has {free:,} left; "
                        "free space or choose another folder with -o."
                    )
                for name, facts in files.items():
                    path = fresh / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with source.open(name) as entry, path.open("xb") as file:
                        _copy(entry, file, f"{name} in {archive}", facts)
                (fresh / MANIFEST_FILE).write_bytes(content)
                read_bundle(fresh, verify=False, layout=manifest.get("layout", DECODE_GRAPH_LAYOUT))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError) as error:
        raise _broken(archive, str(error)) from error
    return _packed(folder, size, files)


def _packed(path: Path, archive_bytes: int, files: Mapping[str, FileFacts]) -> PackedBundle:
    return PackedBundle(
        path=path,
        archive_bytes=archive_bytes,
        bundle_bytes=sum(facts["bytes"] for facts in files.values()),
        has_drafts=has_drafts(files),
    )


def has_drafts(files: Mapping[str, FileFacts]) -> bool:
    """Whether the repository's own code, as tokens, is among a bundle's files."""
    return any(name.startswith(f"{DRAFTS}/") for name in files)


def without_drafts(manifest: Manifest) -> Manifest:
    """Return the manifest of the same bundle without the repository's own tokens."""
    kept = {name: facts for name, facts in manifest["files"].items() if not name.startswith(f"{DRAFTS}/")}
    slim: Manifest = {**manifest, "files": kept}
    slim.pop("drafts", None)
    return slim


def _entry(name: str, size: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, FIRST_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    # `ZipFile.open` takes the entry's own level; until Python 3.13 it has no public name.
    setattr(entry, "compress_level" if hasattr(entry, "compress_level") else "_compresslevel", LEVEL)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.create_system = 3  # Unix, on every system: the same bytes everywhere
    entry.file_size = size  # tells the writer whether it needs 64-bit fields
    return entry


def _open(path: Path, advice: str) -> IO[bytes]:
    """Open a regular file to read; raise BundleError for anything else."""
    try:
        return open_regular(path)
    except OSError as error:
        raise BundleError(f"{path} can't be read ({error.strerror}); {advice}.") from error
    except NotRegularError as error:
        raise BundleError(f"{path} is not a regular file; {advice}.") from error


def _copy(source: IO[bytes], target: IO[bytes], what: object, facts: FileFacts) -> None:
    """Copy exactly the bytes that `facts` promise; raise BundleError if there are others."""
    digest, left = hashlib.sha256(), int(facts["bytes"])
    with source:
        while chunk := source.read(min(CHUNK_BYTES, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            digest.update(chunk)
            target.write(chunk)
    if left or digest.hexdigest() != facts["sha256"]:
        raise BundleError(f"{what} is not as it was exported (size or SHA-256 differs); export or fetch it again.")


def _refuse_foreign(archive: Path) -> None:
    """Raise ExportError unless `archive` is new or a packed bundle, so that `-o thesis.zip` replaces no other file."""
    check_no_device(archive, "-o", ExportError)
    if archive.is_dir():
        raise ExportError(f"{archive} is a folder; name a file with -o, such as {archive / ('bundle' + SUFFIX)}.")
    if not archive.exists() or archive.stat().st_size == 0:
        return
    with archive.open("rb") as file:
        start = file.read(30 + len(MANIFEST_FILE))
    if not (start.startswith(b"PK\x03\x04") and start.endswith(MANIFEST_FILE.encode())):
        raise ExportError(f"{archive} exists and is no packed bundle; choose another file with -o.")


def _first_entry(source: zipfile.ZipFile, archive: Path) -> bytes:
    """Return the manifest's bytes, at most as many as it claims: `ZipFile.read` would unpack all that there is."""
    entries = source.infolist()
    if not entries or entries[0].filename != MANIFEST_FILE or entries[0].header_offset != 0:
        raise _broken(archive, f"it does not begin with {MANIFEST_FILE}")
    if entries[0].file_size > MAX_MANIFEST_BYTES:
        raise _broken(archive, f"its {MANIFEST_FILE} claims {entries[0].file_size:,} bytes")
    _check_kind(entries[0], archive)
    with source.open(entries[0]) as entry:
        content = entry.read(entries[0].file_size + 1)
    if len(content) != entries[0].file_size:
        raise _broken(archive, f"its {MANIFEST_FILE} is not as long as it claims")
    return content


def _check_entries(source: zipfile.ZipFile, manifest: Manifest, archive: Path, size: int) -> dict[str, FileFacts]:
    """Return the files to write; raise BundleError unless they are those of the manifest, and harmless."""
    files = manifest["files"]
    entries = source.infolist()
    names = [entry.filename for entry in entries]
    if sorted(names) != sorted([MANIFEST_FILE, *files]):
        odd = next(iter({*names} ^ {MANIFEST_FILE, *files}), "a name twice")
        raise _broken(archive, f"its manifest and its files disagree about {odd!r}")
    for entry in entries[1:]:
        _check_kind(entry, archive)
        if entry.file_size != files[entry.filename]["bytes"]:
            raise _broken(archive, f"{entry.filename!r} is not as long as its manifest says")
    total = sum(facts["bytes"] for facts in files.values())
    if total > max(SMALL_BYTES, MAX_EXPANSION * size):
        raise _broken(archive, f"{size:,} bytes would become {total:,}")
    return files


def _check_kind(entry: zipfile.ZipInfo, archive: Path) -> None:
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or entry.is_dir():
        raise _broken(archive, f"{entry.filename!r} is a link or another thing that is no file")
    if entry.flag_bits & 1:
        raise _broken(archive, f"{entry.filename!r} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _broken(archive, f"{entry.filename!r} is compressed in an unusual way")


def _broken(archive: Path, why: str) -> BundleError:
    return BundleError(f"{archive} is no packed bundle that can be trusted: {why}; fetch or pack it again.")

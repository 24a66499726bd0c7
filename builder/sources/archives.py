"""Archives from strangers, unpacked with bounds: no path out of the folder, no link, no device, no bomb.

Only regular files are written, with plain permissions; links and everything else are passed over, as the corpus would
pass over them. Counted are the bytes that come out of the decompressor, not those that an archive claims, and a
header's size is bounded before it is read (tarfile itself reads a header of any size into memory).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import IO, Any, Final, cast

from contract.errors import first_line
from contract.files.file_names import is_plain, leads_outside

MAX_MEMBERS: Final = 200_000  # the largest listed distribution has some ten thousand
MAX_BYTES: Final = 2 << 30
MAX_HEADER_BYTES: Final = 1 << 20  # of one extended header; real ones have a few hundred bytes
MAX_HEADER_READS: Final = 64  # for one member; a sparse file's list of holes is read on and on
MAX_NAME_BYTES: Final = 1024
MAX_DEPTH: Final = 64
_CHUNK: Final = 1 << 16
_DECOMPRESSORS: Final[tuple[tuple[bytes, Callable[[Path], Any]], ...]] = (
    (b"\x1f\x8b", gzip.GzipFile),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ", lzma.LZMAFile),
)
_FAULTS: Final = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(NotImplementedError, RuntimeError, ValueError, KeyError, IndexError, OverflowError, OSError),
)


class ArchiveError(Exception):
    """An archive is damaged or hostile; the message is a few words, to be put into a sentence."""


def unpack(archive: Path, target: Path, *, max_bytes: int = MAX_BYTES, max_members: int = MAX_MEMBERS) -> None:
    """Unpack a tar (plain, gzip, bzip2, xz) or zip archive into the folder `target`, which is made.

    Raises ArchiveError where it is no archive, is damaged, names a path outside, or holds too much; what was written
    until then stays, so give a folder that is thrown away.
    """
    target.mkdir(parents=True, exist_ok=True)
    writer = _Writer(target, max_bytes, max_members)
    try:
        with archive.open("rb") as file:
            start = file.read(6)
        if start[:2] == b"PK":
            _unpack_zip(archive, writer)
        else:
            _unpack_tar(archive, start, writer)
    except _FAULTS as error:
        raise ArchiveError(first_line(error, 300)) from error


class _Writer:
    """Writes members below one folder, and counts."""

    def __init__(self, target: Path, max_bytes: int, max_members: int) -> None:
        self.max_bytes = max_bytes
        self._target = target
        self._left = max_bytes
        self._members, self._max_members = 0, max_members

    def count(self) -> None:
        self._members += 1
        if self._members > self._max_members:
            raise ArchiveError(f"it holds more than {self._max_members:,} members")

    def write(self, name: str, source: IO[bytes]) -> None:
        path = self._target.joinpath(*_safe_parts(name, self._target))
        if path.exists() or any(one.is_file() for one in path.parents if one.is_relative_to(self._target)):
            raise ArchiveError(f"it holds {name!r} twice")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            while chunk := source.read(_CHUNK):
                self._left -= len(chunk)
                if self._left < 0:
                    raise ArchiveError(f"it unpacks to more than {self.max_bytes:,} bytes")
                file.write(chunk)


def _safe_parts(name: str, target: PurePath) -> tuple[str, ...]:
    """The folders and the name of a member; raises ArchiveError for one that leads outside or is no name.

    What leads outside on any system is refused on all: nobody who means well packs it. What is no name on Windows
    alone, as `aux.py`, is refused there.
    """
    pure = PurePosixPath(name)
    is_outside = "\\" in name or any(leads_outside(name, system) for system in (PurePosixPath(), PureWindowsPath()))
    if is_outside or not pure.parts:
        raise ArchiveError(f"it names a path outside of its folder, {name[:80]!r}")
    size = len(name.encode("utf-8", "surrogateescape"))
    is_odd = any(not ord(one) >= 0x20 for one in name) or not is_plain(name, target)
    if size > MAX_NAME_BYTES or len(pure.parts) > MAX_DEPTH or is_odd:
        raise ArchiveError(f"it holds a name that no file should have, {name[:80]!r}")
    return pure.parts


def _unpack_zip(archive: Path, writer: _Writer) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            writer.count()
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            if info.is_dir() or is_link:
                continue
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
                raise ArchiveError(f"{info.filename[:80]!r} in it is compressed in an unusual way")
            with zipped.open(info) as source:
                writer.write(info.filename, source)


def _unpack_tar(archive: Path, start: bytes, writer: _Writer) -> None:
    opener = next((one for mark, one in _DECOMPRESSORS if start.startswith(mark)), lambda path: path.open("rb"))
    with opener(archive) as stream:
        bounded = _Bounded(stream, writer.max_bytes)
        tarred = tarfile.TarFile(fileobj=cast(IO[bytes], bounded))  # reads the first header
        while (member := tarred.next()) is not None:
            writer.count()
            tarred.members.clear()  # type: ignore[attr-defined]  # it keeps all that it has seen
            tarred.pax_headers.clear()  # type: ignore[attr-defined]  # of all members, which a name or a size is not
            bounded.reads_left = math.inf
            source = tarred.extractfile(member) if member.isreg() else None
            if source is not None:
                with source:
                    writer.write(member.name, source)
            bounded.reads_left = MAX_HEADER_READS


class _Bounded(io.RawIOBase):
    """A stream that refuses to be read far, or much at once."""

    def __init__(self, stream: IO[bytes], max_bytes: int) -> None:
        self._stream, self._most = stream, max_bytes + (64 << 20)  # headers and padding beside the files
        self.reads_left: float = MAX_HEADER_READS

    def read(self, size: int = -1) -> bytes:
        self.reads_left -= 1
        if not 0 <= size <= MAX_HEADER_BYTES or self.reads_left < 0:
            raise ArchiveError("it holds a header that is too long")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check(offset if whence == 0 else self._stream.tell() + offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _check(self, position: int) -> None:
        if not 0 <= position <= self._most:
            raise ArchiveError(f"it unpacks to more than {self._most:,} bytes")

"""Archives from strangers: nothing outside, no link, no device, and an end to whatever they unpack to."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.sources.archives import ArchiveError, unpack

MODES = {"plain.tar": "w", "a.tar.gz": "w:gz", "a.tar.bz2": "w:bz2", "a.tar.xz": "w:xz"}


def add(archive: tarfile.TarFile, name: str, content: bytes = b"x", **facts: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(content))


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", MODES)
def test_a_tar_of_any_compression(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / name, MODES[name]) as archive:  # type: ignore[call-overload]
        add(archive, "a/b.py", b"x = 1\n", mode=0o4777)
        add(archive, "./" + "long/" * 30 + "c.py", b"y" * 100_000)
    unpack(tmp_path / name, tmp_path / "out")
    found = files_below(tmp_path / "out")
    assert found == {"a/b.py": b"x = 1\n", "long/" * 30 + "c.py": b"y" * 100_000}
    assert (tmp_path / "out" / "a" / "b.py").stat().st_mode & 0o7111 == 0


def test_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.py", "x = 1\n")
        archive.writestr("empty/", "")
    unpack(tmp_path / "a.whl", tmp_path / "out")
    assert files_below(tmp_path / "out") == {"a/b.py": b"x = 1\n"}


@pytest.mark.parametrize(
    "name", ["../evil.py", "/evil.py", "a/../../evil.py", "C:/evil.py", "..\\evil.py", "a\nb.py", "n" * 2000, "d/" * 99]
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_that_leads_outside_or_is_none(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "tar":
        with tarfile.open(path, "w") as archive:
            add(archive, name if not name.endswith("/") else name + "x")
    else:
        with zipfile.ZipFile(path, "w") as zipped:
            zipped.writestr(name if not name.endswith("/") else name + "x", "x")
    with pytest.raises(ArchiveError, match=r"path outside|name that no file"):
        unpack(path, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("evil.py"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_are_passed_over(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "odd", b"", type=kind, linkname="/etc/passwd", devmajor=1, devminor=5)
        add(archive, "good.py")
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.py"]


def test_a_link_is_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "door", b"", type=tarfile.SYMTYPE, linkname=str(tmp_path / "outside"))
        add(archive, "door/file.py")
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert list((tmp_path / "outside").iterdir()) == []
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        link = zipfile.ZipInfo("door")
        link.external_attr = 0o120777 << 16
        zipped.writestr(link, "/etc/passwd")
    unpack(tmp_path / "a.zip", tmp_path / "out2")
    assert list((tmp_path / "out2").iterdir()) == []


def tar_bomb(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        add(archive, "zeros", bytes(3_000_000))


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"zeros{number}", bytes(900_000))


@pytest.mark.parametrize("make", [tar_bomb, zip_bomb])
def test_a_bomb_is_stopped(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "bomb")
    with pytest.raises(ArchiveError, match="more than 1,000,000 bytes"):
        unpack(tmp_path / "bomb", tmp_path / "out", max_bytes=1_000_000)
    assert sum(map(len, files_below(tmp_path / "out").values())) <= 1_000_000


def test_a_header_of_gigabytes_is_never_read(tmp_path: Path) -> None:
    """tarfile reads an extended header into memory, whatever its length; newer ones in parts, if it is there."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 5 << 30
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(65 << 20))
    with pytest.raises(ArchiveError, match="header that is too long"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")


def sparse_header(is_old: bool) -> bytes:
    """A sparse member's header, and a list of its holes that goes on for megabytes."""
    info = tarfile.TarInfo("x")
    if is_old:
        info.type = tarfile.GNUTYPE_SPARSE
        first, more = bytearray(info.tobuf(tarfile.GNU_FORMAT)), bytearray(tarfile.BLOCKSIZE)
        first[482] = more[504] = 1  # the list goes on in the next block
        first[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(first))[0]  # type: ignore[attr-defined]
        return bytes(first) + bytes(more) * 10_000
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    return info.tobuf(tarfile.PAX_FORMAT) + b"9999999\n" + b"1\n" * 2_500_000


@pytest.mark.parametrize("is_old", [True, False])
def test_a_list_of_holes_without_end_is_not_read(tmp_path: Path, is_old: bool) -> None:
    """tarfile keeps a sparse file's list of holes in memory, whatever its length. Succeeds on de82a37."""
    (tmp_path / "a.tar").write_bytes(sparse_header(is_old))
    with pytest.raises(ArchiveError, match="header that is too long"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_headers_of_all_members_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each global header adds its keys to those before. Succeeds on de82a37."""
    kept: list[int] = []
    following = tarfile.TarFile.next

    def count(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        kept.append(len(archive.pax_headers))
        return following(archive)

    with (tmp_path / "a.tar").open("wb") as file:
        for number in range(20):
            file.write(tarfile.TarInfo.create_pax_global_header({f"key{number}": "x"}))
            file.write(tarfile.TarInfo(f"{number}.py").tobuf())
    monkeypatch.setattr(tarfile.TarFile, "next", count)
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert len(files_below(tmp_path / "out")) == 20 and max(kept) <= 1


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_a_kind_that_unpacks_at_once_is_refused(tmp_path: Path, kind: int) -> None:
    """zipfile bounds what it takes of a deflated member at a time, and of no other. Succeeds on de82a37."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", kind) as archive:
        archive.writestr("zeros", bytes(3_000_000))
    with pytest.raises(ArchiveError, match="'zeros' in it is compressed in an unusual way"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_more_members_than_the_limit(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(20):
            add(archive, f"{number}.py")
    with pytest.raises(ArchiveError, match="more than 10 members"):
        unpack(tmp_path / "a.tar", tmp_path / "out", max_members=10)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04" + bytes(50), b"\x1f\x8bnothing", b"BZh9x", bytes(2000)])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    try:
        unpack(tmp_path / "a", tmp_path / "out")
    except ArchiveError as error:
        assert "\n" not in str(error)
    assert files_below(tmp_path / "out") == {}


def test_the_same_name_twice(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a.py")
        add(archive, "a.py")
    with pytest.raises(ArchiveError, match="twice"):
        unpack(tmp_path / "a.tar", tmp_path / "out")

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from lsp_server.decoding import huge_pages
from lsp_server.decoding.huge_pages import full_pages, large_regions, use_huge_pages

HUGE = 2 << 20
SMALL_PER_HUGE = HUGE // mmap.PAGESIZE

MAPS = b"""\
55d0c0000000-55d0c8000000 rw-p 00000000 00:00 0                          [heap]
7f0000001000-7f0002001000 rw-p 00000000 00:00 0
7f0010000000-7f0012000000 ---p 00000000 00:00 0
7f0020000000-7f0022000000 rw-p 00000000 fe:00 1234                       /models/caf\xe9\x85\x0b one.onnx
7f0030000000-7f0032000000 rw-s 00000000 00:00 0
7f0040000000-7f0040400000 rw-p 00000000 00:00 0
7ffd00000000-7ffd02000000 rw-p 00000000 00:00 0                          [stack]
"""


def test_large_private_regions_are_found_in_whole_huge_pages() -> None:
    assert list(large_regions(MAPS, HUGE)) == [
        (0x55D0C0000000, 0x8000000),
        (0x7F0000200000, 0x1E00000),
    ]


def test_pages_that_are_nearly_there_are_moved_and_no_others() -> None:
    shares = (0.91, 0.89, 0.0, 1.0, 0.5, 0.95)
    resident = b""
    for share in shares:
        there = round(share * SMALL_PER_HUGE)
        resident += b"\x01" * there + b"\x00" * (SMALL_PER_HUGE - there)
    assert list(full_pages(resident, 1 << 30, HUGE)) == [(1 << 30) + i * HUGE for i in (0, 3, 5)]


def huge_bytes_at(address: int) -> int:
    """Return the bytes in huge pages of the mapping that holds `address`. Other mappings may get some at any time."""
    is_here = False
    for line in Path("/proc/self/smaps").read_text("utf-8").splitlines():
        first, *others = line.split()
        if not first.endswith(":"):
            start, end = (int(one, 16) for one in first.split("-"))
            is_here = start <= address < end
        elif is_here and first == "AnonHugePages:":
            return int(others[0]) * 1024
    raise AssertionError("no mapping holds it")


def has_room(count: int) -> bool:
    """Whether the kernel moves so many pages when it is asked for them: madvise(2) with MADV_COLLAPSE."""
    memory = mmap.mmap(-1, (count + 1) * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    values = np.frombuffer(memory, np.uint8)
    values[:] = 1
    first = -(-values.ctypes.data // HUGE) * HUGE
    return ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(count * HUGE), 25) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has them")
def test_what_is_moved_stays_what_it_was() -> None:
    if not huge_pages.SETTINGS.is_dir() or "[never]" in (huge_pages.SETTINGS / "enabled").read_text():
        pytest.skip("this kernel gives no huge pages")
    if not has_room(8):
        pytest.skip("this kernel has no room, or collects them in the background")
    memory = mmap.mmap(-1, 16 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    values = np.frombuffer(memory, np.int32)
    values[: 8 * HUGE // 4] = np.arange(8 * HUGE // 4)  # the other half is not there, and must not become so
    for thread in threading.enumerate():  # a model that another test loaded: the second caller returns 0 at once
        if thread.name == "huge pages":
            thread.join()
    after = huge_bytes_at(values.ctypes.data)
    for _ in range(3):  # other programs may take the room for a moment
        before = after
        moved = use_huge_pages()
        after = huge_bytes_at(values.ctypes.data)
        assert after - before <= moved
        if after >= 7 * HUGE:
            break
        if not has_room(8):
            pytest.skip("other memory took the room")
    assert after >= 7 * HUGE
    np.testing.assert_array_equal(values[: 8 * HUGE // 4], np.arange(8 * HUGE // 4))
    assert not values[8 * HUGE // 4 :].any()


@pytest.mark.parametrize(("file", "text"), [("enabled", "always madvise [never]\n"), ("hpage_pmd_size", "536870912\n")])
def test_a_system_that_says_never_or_has_giants_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str
) -> None:
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    (tmp_path / "hpage_pmd_size").write_text("2097152\n")
    (tmp_path / file).write_text(text)
    monkeypatch.setattr(huge_pages, "SETTINGS", tmp_path)
    monkeypatch.setattr(huge_pages, "_move", lambda page, huge: pytest.fail("moved a page"))
    assert use_huge_pages() == 0

from __future__ import annotations

import sys

import numpy as np
import pytest

from lsp_server import huge_pages
from lsp_server.huge_pages import HUGE, large_regions, use_huge_pages

MAPS = """\
55d0c0000000-55d0c8000000 rw-p 00000000 00:00 0                          [heap]
7f0000001000-7f0002001000 rw-p 00000000 00:00 0
7f0010000000-7f0012000000 ---p 00000000 00:00 0
7f0020000000-7f0022000000 rw-p 00000000 fe:00 1234                       /models/model.onnx
7f0030000000-7f0032000000 rw-s 00000000 00:00 0
7f0040000000-7f0040400000 rw-p 00000000 00:00 0
7ffd00000000-7ffd02000000 rw-p 00000000 00:00 0                          [stack]
"""


def test_large_private_regions_are_found_in_whole_huge_pages() -> None:
    assert list(large_regions(MAPS)) == [
        (0x55D0C0000000, 0x8000000),
        (0x7F0000200000, 0x1E00000),
    ]


def test_what_is_moved_stays_what_it_was() -> None:
    values = np.arange(8 * HUGE // 4, dtype=np.int32)
    moved = use_huge_pages()
    assert moved % HUGE == 0
    np.testing.assert_array_equal(values, np.arange(len(values), dtype=np.int32))


def test_a_system_that_says_never_is_obeyed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = tmp_path / "enabled"
    setting.write_text("always madvise [never]\n")
    monkeypatch.setattr(huge_pages, "SETTING", setting)
    monkeypatch.setattr(huge_pages, "large_regions", lambda maps: pytest.fail("looked for regions"))
    assert use_huge_pages() == 0


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_have_none(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert use_huge_pages() == 0

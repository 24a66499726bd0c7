r"""Names that Windows takes for something else than one file below a folder: `..\x`, `c:x`, `a.py:x`, `aux.py`.

Each test but those that say so succeeds as an attack on 104ea66 (the test fails there). Windows is played by the paths:
a root that is a `PureWindowsPath` joins names as Windows does, and what would be opened is noted instead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import cast

import pytest

from contract.children import shell_line
from contract.repository.listing import list_files
from contract.repository.reading import SourceReader, Unreadable
from lsp_server.options import ServerOptions, read_options
from testbed.git import git

posix = pytest.mark.skipif(os.name != "posix", reason="Windows can't make these files")
OUTSIDE = [r"..\secret.py", r"a\..\..\secret.py", "c:secret.py", r"C:\secret.py", "C:/secret.py", r"\\server\x\a.py"]
OUTSIDE += ["pkg/c:secret.py", r"\secret.py", r"//server/x/a.py"]
ODD = ["aux.py", "con", "pkg/nul.tar.gz", "COM1.py", "lpt³", "a.py.", "a.py ", "a.py:evil", ".git::$INDEX_ALLOCATION"]
ODD += ["a.py::$DATA", ".git./config", ".git /config", r".git\config", "GIT~1/config", "SUBMOD~1/lock.json"]
ODD += ["a?.py", "a\x01.py", "aux .py"]
ORDINARY = ["a.py", "pkg/.hidden.py", "auxiliary.py", "a..b.py", "com10.py", "sub.aux", "ä b.py", "a~b.py", "Nully.py"]


def read_on_windows(name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is touched where a repository at C:\\repo holds `name`; empty if it is refused before."""
    touched: list[str] = []

    def lstat(path: object, *_: object, **__: object) -> os.stat_result:
        touched.append(str(path))
        raise FileNotFoundError(2, "no such file")

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lstat)
        patch.setattr(PureWindowsPath, "lstat", lstat, raising=False)
        patch.setattr(PureWindowsPath, "is_symlink", lambda path: touched.append(str(path)), raising=False)
        with pytest.raises(Unreadable):
            SourceReader(cast(Path, PureWindowsPath(r"C:\repo")), max_bytes=9).read(name)
    return touched


@pytest.mark.parametrize("name", OUTSIDE + ODD)
def test_no_odd_name_of_the_index_is_touched_on_windows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_on_windows(name, monkeypatch) == []


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_are_opened_on_windows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No attack: what is refused is not all."""
    assert str(PureWindowsPath(r"C:\repo") / name) in read_on_windows(name, monkeypatch)


@posix
@pytest.mark.parametrize("name", [*ODD, *OUTSIDE[:4], "pkg/c:secret.py"])
def test_elsewhere_they_are_files_like_any_other(name: str, tmp_path: Path) -> None:
    """No attack: a repository of Linux may hold them."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("x = 1\n")
    assert SourceReader(tmp_path, max_bytes=9).read(name) == b"x = 1\n"


@posix
@pytest.mark.parametrize("name", ["../secret.py", "/etc/passwd", "a/../../secret.py", "a\0.py"])
def test_names_that_no_system_has_below_a_folder(name: str, tmp_path: Path) -> None:
    """The one with a NUL ends in a ValueError on 104ea66; the others held there."""
    with pytest.raises(Unreadable):
        SourceReader(tmp_path, max_bytes=9).read(name)


@posix
@pytest.mark.parametrize("folder", [".Git", ".ſubmodel", ".SUBMODEL"])
def test_own_folders_under_another_case_are_no_part_of_a_corpus(folder: str, tmp_path: Path) -> None:
    """`.ſubmodel` is `.submodel` on macOS, which folds cases as Unicode does; the others held on 104ea66."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a.py").touch()
    (tmp_path / "b.py").touch()
    assert list_files(tmp_path).paths == ("b.py",)
    git(tmp_path, "init")
    assert list_files(tmp_path).paths == ("b.py",)


def test_one_rule_for_both_flavours() -> None:
    """No attack: the rule itself, asked of each system. Fails on 104ea66, which has none."""
    from contract.files.file_names import is_plain, leads_outside

    windows, linux = PureWindowsPath(r"C:\repo"), PurePosixPath("/repo")
    assert all(leads_outside(name, windows) for name in OUTSIDE)
    assert [name for name in OUTSIDE if leads_outside(name, linux)] == ["//server/x/a.py"]
    assert not any(leads_outside(name, windows) or not is_plain(name, windows) for name in ORDINARY)
    assert not any(is_plain(name, windows) for name in ODD)
    assert all(is_plain(name, linux) for name in ODD)


@pytest.mark.parametrize(
    "share", [r"\\host\x", "//host/x", r"\/host/x", r"/\host/x", r"\\?\UNC\host\x", r"\??\UNC\host\x", r"/??\UNC/host"]
)
def test_a_client_s_options_name_no_bundle_on_a_network_share(share: str) -> None:
    """Those with mixed slashes and with `??` succeed as attacks on de82a37."""
    options, [problem] = read_options({"bundle": share}, ServerOptions())
    assert options.bundle is None
    assert "path of a bundle folder" in problem


@pytest.mark.parametrize(
    "name", ["pkg&calc.exe&", "a|b", "a<b", "a>b", "a^b", "%TEMP%", 'a"b', "$(calc)", "a`b", "a”;calc;”b", "a\nb"]
)
def test_a_line_to_paste_holds_no_name_that_a_shell_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Succeeds on de82a37, where quotes were put around blanks alone."""
    monkeypatch.setattr(sys, "platform", "win32")
    folder = rf"C:\code\{name}\.submodel"
    assert shell_line(("submodel", "trust", folder)) == "submodel trust ..."
    assert "..." in shell_line(("submodel", "build", name))


def test_other_names_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    line = shell_line(("submodel", "trust", r"C:\code\a", r"C:\my code\a's;(b)", "C:\\my code\\", "x[y]", ""))
    assert line == r"""submodel trust C:\code\a "C:\my code\a's;(b)" "C:\my code\\" "x[y]" """ + '""'

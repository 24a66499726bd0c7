"""What a `.submodelignore` file names is not read, tracked or not, with git and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import CorpusError
from contract.repository.ignore_rules import IgnoreRules
from contract.repository.texts import read_repository, weigh_repository
from testbed.git import git as run_git
from testbed.git import write_files


def _make(root: Path, more: dict[str, str] | None = None) -> Path:
    """A repository with all files committed but `sub/new.py`."""
    names = ["main.py", "customers/a.py", "customers/deep/b.py", "sub/c.py", "sub/keep.py", "sub/d_data.py"]
    write_files(root, {name: f"x = {name!r}\n" for name in names} | (more or {}))
    run_git(root, "init", "-q")
    run_git(root, "add", ".")
    write_files(root, {"sub/new.py": "x = 'new'\n"})
    return root


def _read(root: Path, listed_by: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    if listed_by == "walk":
        monkeypatch.setenv("PATH", "")
    reading = read_repository(root)
    assert reading.listed_by == listed_by
    return sorted(reading.texts)


@pytest.mark.parametrize("listed_by", ["git", "walk"])
def test_what_it_names_is_left_out(tmp_path: Path, listed_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = "# not ours\n/customers/\n*_data.py\n"
    root = _make(tmp_path, {".submodelignore": rules, "sub/.submodelignore": "*.py\n!keep.py\n"})
    assert _read(root, listed_by, monkeypatch) == ["main.py", "sub/keep.py"]
    assert read_repository(root).skipped["named in .submodelignore"] == 5
    assert weigh_repository(root).skipped["named in .submodelignore"] == 5


def test_a_name_that_is_kept_keeps_nothing_below_a_folder_that_is_left_out(tmp_path: Path) -> None:
    root = _make(tmp_path, {".submodelignore": "customers/\n", "customers/.submodelignore": "!a.py\n"})
    assert "customers/a.py" not in read_repository(root).texts


def test_a_file_that_git_ignores_holds_too(tmp_path: Path) -> None:
    """One developer's own, which is not committed."""
    root = _make(tmp_path, {".submodelignore": "customers/\n", ".gitignore": ".submodelignore\n"})
    assert not any(path.startswith("customers/") for path in read_repository(root).texts)


def test_a_file_in_a_folder_that_git_ignores_holds_too(tmp_path: Path) -> None:
    """Void on 2e053804: git lists what is tracked there, and not the file itself."""
    root = _make(tmp_path, {".gitignore": "/customers/\n", "customers/.submodelignore": "a.py\n"})
    run_git(root, "add", "-f", "customers/a.py", "customers/deep/b.py")
    (root / "customers" / "deep" / ".submodelignore").write_text("*\n")
    assert sorted(read_repository(root).texts) == ["main.py", "sub/c.py", "sub/d_data.py", "sub/keep.py", "sub/new.py"]


def test_a_path_that_would_take_long_to_match_is_left_out() -> None:
    """On 2e053804 2,000 such lines took 120 seconds for one path of 4,000 characters."""
    rules = IgnoreRules().with_file("", "/**/a/**/*a/b\n", is_strict=True)
    assert not rules.is_ignored("a/" * 249 + "c", is_folder=False)
    assert rules.is_ignored("a/" * 250 + "c", is_folder=False)
    assert not IgnoreRules().is_ignored("a/" * 250 + "c", is_folder=False)


@pytest.mark.parametrize("listed_by", ["git", "walk"])
def test_a_part_of_a_repository_obeys_the_files_above_it(
    tmp_path: Path, listed_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _make(tmp_path, {".submodelignore": "/sub/*_data.py\n/c.py\nnew.py\n"})
    assert _read(root / "sub", listed_by, monkeypatch) == ["c.py", "keep.py"]


def test_a_folder_that_is_left_out_can_not_be_built_by_itself(tmp_path: Path) -> None:
    root = _make(tmp_path, {".submodelignore": "customers/\n"})
    assert read_repository(root / "customers").texts == {}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/**/**/*a/b*/*", r"Line 2 has more than 4 stars\."),
        ("*a*b*c*d*", r"Line 2 has more than 4 stars\."),
        ("!", r"Line 2 is no pattern of git\."),
        *((line, r"Line 2 names no path below its folder\.") for line in ("./x", "../x", "a//b", "a\t", "[[:alpha:]]")),
        ("a\n" * 2000, r"It has more than 2,000 lines\."),
    ],
)
def test_a_line_that_can_not_be_used_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    """In a `.gitignore` it is passed over. Here, what it names would be learned."""
    root = _make(tmp_path, {"sub/.submodelignore": f"# {line}\n{line}\n".replace("# a\n", "# ")})
    with pytest.raises(CorpusError, match=rf"sub.\.submodelignore: {problem} No file of the repository is read"):
        read_repository(root)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_a_file_that_is_no_utf_8_is_refused(tmp_path: Path, encoding: str) -> None:
    """On 2e053804 it named nothing: PowerShell's `echo` writes UTF-16."""
    root = _make(tmp_path)
    (root / ".submodelignore").write_text("prüvate/\n", encoding=encoding)
    with pytest.raises(CorpusError, match="It is no UTF-8 text; save it as UTF-8"):
        read_repository(root)


@pytest.mark.parametrize("many", ["".join(f"a{number}\n" for number in range(1500)), "/*a*/*a*/b\n" * 60])
def test_one_rule_too_many_is_refused(tmp_path: Path, many: str) -> None:
    """A line of several stars counts as 20: on 2e053804 2,000 took 25 seconds for a path of 500 characters."""
    root = _make(tmp_path, {".submodelignore": many, "sub/.submodelignore": many})
    with pytest.raises(CorpusError, match=r"sub.\.submodelignore: .* more than 2,000 rules,"):
        read_repository(root)


@pytest.mark.parametrize(("kind", "problem"), [("folder", "nested repository"), ("large", "too large")])
def test_one_that_can_not_be_read_is_refused(tmp_path: Path, kind: str, problem: str) -> None:
    root = _make(tmp_path)
    if kind == "folder":
        (root / ".submodelignore").mkdir()
    else:
        (root / ".submodelignore").write_text("# " + "a" * (128 << 10))
    with pytest.raises(CorpusError, match=rf"\.submodelignore can't be read \({problem}\)"):
        read_repository(root)


def test_a_link_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"rules": "customers/\n"})
    root = _make(tmp_path / "repo")
    try:
        (root / ".submodelignore").symlink_to(tmp_path / "rules")
    except OSError:
        pytest.skip("this account may make no links")
    with pytest.raises(CorpusError, match=r"can't be read \(link outside\)"):
        read_repository(root)

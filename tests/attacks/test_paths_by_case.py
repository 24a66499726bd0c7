"""One folder under two cases, as macOS and Windows take them; played by a `samefile` that does not tell cases apart.

Each test fails on 104ea66. A folder that is not recognised loses what protects it: git's list with the user's own
excludes.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from contract.repository import listing
from contract.repository.git import run_git
from lsp_server.request import path_in
from testbed.git import git


def folded(path: object) -> str:
    return unicodedata.normalize("NFC", str(path).casefold())


@pytest.fixture
def no_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "samefile", lambda one, other: folded(one) == folded(other))


@pytest.mark.usefixtures("no_cases")
def test_git_s_list_is_believed_where_git_names_the_folder_in_another_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(os.path.realpath(tmp_path)) / "Repo"
    root.mkdir()
    git(root, "init")
    (root / ".git" / "info" / "exclude").write_text("private.py\n")
    for name in ("a.py", "private.py"):
        (root / name).touch()

    def ask(folder: Path, *arguments: str) -> bytes:
        if "rev-parse" in arguments:  # of a folder that git takes for another one
            return os.fsencode(str(root).replace("Repo", "REPO")) + b"\n"
        return run_git(folder, *arguments)

    monkeypatch.setattr(listing, "run_git", ask)
    assert listing.list_files(root) == listing.Listing(paths=("a.py",), source="git")


@pytest.mark.usefixtures("no_cases")
def test_a_file_has_its_path_in_the_repository(tmp_path: Path) -> None:
    assert path_in(Path("/Users/Ada/app"), Path("/users/ada/app/src/A.py")) == "src/A.py"

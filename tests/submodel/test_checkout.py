"""What is said of a repository that git does not list."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.corpus.corpus import read_corpus
from contract.repository import listing
from contract.repository.git import GitError
from submodel.build.checkout import read_checkout, say_large
from submodel.console import StageDisplay
from testbed.git import git
from testbed.python_files import write_python


@pytest.mark.parametrize(
    ("problem", "is_advised"),
    [
        ("git ls-files failed: fatal: detected dubious ownership in repository", True),
        ("git ls-files failed: fatal: index file corrupt", False),
        (None, False),
    ],
    ids=["of another account", "damaged", "listed"],
)
def test_why_git_does_not_list_is_said_and_what_helps_if_the_owner_is_another(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    problem: str | None,
    is_advised: bool,
) -> None:
    repository = write_python(tmp_path / "repository", range(24))
    git(repository, "init")

    def fail(*_: object) -> bytes:
        raise GitError(problem)

    if problem is not None:
        monkeypatch.setattr(listing, "run_git", fail)
    with StageDisplay() as display:
        corpus = read_checkout(repository, display, lambda done, total: None)
    assert len(corpus.files) == 24
    said = " ".join(capsys.readouterr().err.split())
    assert "Read 24 files, " in said
    assert " KB (100 % Python)." in said
    assert ("git does not list the files of" in said) is (problem is not None)
    assert (problem or "") in said
    assert ("git config --global --add safe.directory" in said) is is_advised


def test_what_lies_in_other_repositories_or_is_not_checked_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = write_python(tmp_path / "repository", range(24))
    write_python(repository / "vendored", range(3))
    git(repository / "vendored", "init")
    git(repository / "vendored", "add", "--all")
    git(repository / "vendored", "commit", "-m", "one")
    git(repository, "init")
    git(repository, "add", "--all")
    git(repository, "commit", "-m", "one")
    with StageDisplay() as display:
        read_checkout(repository, display, lambda done, total: None)
        said = " ".join(capsys.readouterr().err.split())
        assert said.endswith("Not read: 1 repository inside this one, as submodules are.")
        git(repository, "sparse-checkout", "set", "--no-cone", "/*", "!/part_1*")
        read_checkout(repository, display, lambda done, total: None)
    said = " ".join(capsys.readouterr().err.split())
    assert "as submodules are and 11 files that the sparse checkout leaves out." in said


def test_of_much_code_a_build_says_that_it_reads_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = read_corpus(write_python(tmp_path / "repository", range(24)))
    assert say_large(corpus) is None
    monkeypatch.setattr("submodel.build.checkout.LARGE_CODE_BYTES", corpus.code_bytes - 1)
    said = say_large(corpus)
    assert said is not None
    assert "`submodel build PATH`" in said

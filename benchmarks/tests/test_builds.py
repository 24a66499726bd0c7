"""How a benchmark ends, and which program it names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.builds import run_program
from benchmarks.machine import describe_commit, describe_versions
from builder.versions import PROGRAM
from contract.bundle.bundle import read_bundle
from testbed.git import git


def test_what_a_user_can_mend_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no bundle"):
        run_program(lambda: print(read_bundle(tmp_path)))
    with pytest.raises(SystemExit, match="exit status 3"):
        run_program(lambda: print(subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)))


def test_a_figure_names_the_version_of_builds() -> None:
    assert describe_versions()["program"] == PROGRAM


def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path) -> None:
    assert describe_commit(tmp_path) == ""
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    program, result = tmp_path / "program.py", tmp_path / "benchmarks" / "results" / "positions.json"
    for path in (program, result):
        path.write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = describe_commit(tmp_path)

    result.write_text("2")
    assert describe_commit(tmp_path) == commit
    program.write_text("2")
    assert describe_commit(tmp_path) == f"{commit} with changes"

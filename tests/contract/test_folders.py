"""Whole or not at all."""

import errno
import json
import os
import shutil

import pytest

from contract.errors import BuildError
from contract.files.folders import copy_folder, replace_folder, restore_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(target, text, marker="marker.json"):
    with replace_folder(target, marker=marker) as fresh:
        (fresh / marker).write_text(text)


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    target = tmp_path / "model"
    fill(target, "old")
    with pytest.raises(ValueError, match="boom"), replace_folder(target, marker="marker.json") as fresh:
        (fresh / "half").write_text("x")
        raise ValueError("boom")
    assert (target / "marker.json").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_a_replacement_takes_the_place_as_a_whole(tmp_path):
    target = tmp_path / "model"
    fill(target, "old")
    (target / "stray").write_text("x")
    fill(target, "new")
    assert names(target) == ["marker.json"]
    assert names(tmp_path) == ["model"]


def test_a_replacement_cut_off_between_its_renames_is_undone(tmp_path):
    target = tmp_path / "model"
    fill(target, "old")
    target.rename(tmp_path / ".model.replaced")
    with pytest.raises(ValueError), replace_folder(target, marker="marker.json"):
        raise ValueError
    assert (target / "marker.json").read_text() == "old"


def test_what_a_kill_right_after_a_swap_left_is_removed_though_nothing_is_replaced(tmp_path):
    for name in ("bundle", ".bundle.partial", ".bundle.replaced"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").write_text(name)

    restore_folder(tmp_path / "bundle")

    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (tmp_path / "bundle" / "text").read_text() == "bundle"


def test_foreign_folders_are_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BuildError, match="choose an empty"):
        fill(tmp_path, "new")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


MANIFEST = {"schema": 1, "prompt": {}}


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        ("manifest.json", {"manifest_version": 3, "name": "a browser's extension"}),
        ("manifest.json", {"schema": True, "prompt": {}}),
        ("bundle.json", {"schema": "1.0", "files": {}}),
        ("bundle.json", []),
        ("result.json", {"bundle": "a.js"}),
        ("manifest.json", "{ // a comment\n}"),
    ],
)
def test_a_folder_whose_marker_is_another_program_s_is_never_replaced(tmp_path, marker, content):
    (tmp_path / marker).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(BuildError, match=f"holds a {marker} that submodel has not written; choose an empty"):
        fill(tmp_path, "new", marker)
    assert names(tmp_path) == [marker]


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        ("manifest.json", MANIFEST),
        ("bundle.json", {"schema": 1, "files": {}}),
        ("result.json", {"bundle": {}, "mac": ""}),
    ],
)
def test_what_any_version_of_ours_has_written_is_replaced(tmp_path, marker, content):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / marker).write_text(json.dumps(content))
    fill(tmp_path / "model", "new", marker)
    assert (tmp_path / "model" / marker).read_text() == "new"


def test_a_repository_is_never_replaced(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / ".git").mkdir()
    with pytest.raises(BuildError, match="holds a git repository; choose an empty"):
        fill(tmp_path, "new", "manifest.json")
    assert names(tmp_path) == [".git", "manifest.json"]


def test_an_os_error_becomes_one_sentence(tmp_path):
    with pytest.raises(BuildError, match="free space"), replace_folder(tmp_path / "model", marker="m") as fresh:
        raise OSError(28, "No space left on device", str(fresh / "weights"))
    assert names(tmp_path) == []


def test_a_folder_with_what_file_managers_leave_is_an_empty_one(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / ".DS_Store").touch()
    fill(tmp_path / "model", "new")
    assert names(tmp_path / "model") == ["marker.json"]


def test_the_old_folder_can_be_kept_in_the_place_of_the_one_before(tmp_path):
    target, keep = tmp_path / "model", tmp_path / "model.previous"
    for text in ("first", "second", "third"):
        with replace_folder(target, marker="marker.json", keep=keep) as fresh:
            (fresh / "marker.json").write_text(text)
    assert (target / "marker.json").read_text() == "third"
    assert (keep / "marker.json").read_text() == "second"
    assert names(tmp_path) == ["model", "model.previous"]


def test_a_full_disk_that_a_library_of_rust_reports(tmp_path):
    """safetensors raises no OSError."""
    with pytest.raises(BuildError, match="the disk is full"), replace_folder(tmp_path / "model", marker="m"):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_a_folder_that_a_full_disk_ends_the_copy_of(tmp_path, monkeypatch):
    """shutil's own error has no number, and a list of all files for a text."""

    def fail(file, place):
        raise OSError(errno.ENOSPC, "No space left on device", place)

    fill(tmp_path / "model", "x")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy2", fail)
        with pytest.raises(OSError, match="No space left") as caught:
            copy_folder(tmp_path / "model", tmp_path / "copy")
        assert caught.value.errno == errno.ENOSPC
        with (
            pytest.raises(BuildError, match=r"marker\.json\): No space left on device; free space.* be written, and"),
            replace_folder(tmp_path / "other", marker="marker.json") as fresh,
        ):
            copy_folder(tmp_path / "model", fresh)
    copy_folder(tmp_path / "model", tmp_path / "copy")
    assert (tmp_path / "copy" / "marker.json").read_text() == "x"


@pytest.mark.parametrize("has_links", [True, False])
def test_a_folder_is_copied_by_links_where_the_file_system_has_them(tmp_path, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    (tmp_path / "model" / "part").mkdir(parents=True)
    file, copy = (tmp_path / name / "part" / "weights" for name in ("model", "copy"))
    file.write_text("x")
    file.chmod(0o600)
    copy_folder(tmp_path / "model", tmp_path / "copy", as_links=True)
    assert copy.samefile(file) is has_links
    assert copy.stat().st_mode == file.stat().st_mode
    shutil.rmtree(tmp_path / "model")
    assert copy.read_text() == "x"

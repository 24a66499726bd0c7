"""Whole or not at all."""

import errno
import json
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from contract.errors import BuildError
from contract.files import disk_calls, folders, removal
from contract.files.folders import IGNORED, copy_folder, replace_folder, restore_folder


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


def test_a_damaged_marker_is_replaced_in_the_output_of_a_build_alone(tmp_path):
    target = tmp_path / "out" / "name" / "model"
    target.mkdir(parents=True)
    (target / "manifest.json").write_text("{")
    with pytest.raises(BuildError, match="has not written"):
        fill(target, "new", "manifest.json")
    (tmp_path / "out" / ".gitignore").write_text(IGNORED)
    fill(target, "new", "manifest.json")
    assert (target / "manifest.json").read_text() == "new"


def test_a_repository_is_never_replaced(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / ".git").mkdir()
    with pytest.raises(BuildError, match="holds a git repository; choose an empty"):
        fill(tmp_path, "new", "manifest.json")
    assert names(tmp_path) == [".git", "manifest.json"]


def test_a_folder_that_an_earlier_removal_left_is_no_failure(tmp_path, monkeypatch):
    """As on NFS, where a file that is open stays in its folder."""
    target, left = tmp_path / "model", tmp_path / ".model.replaced.removed"
    fill(target, "old")
    left.mkdir()
    (left / ".nfs1").touch()
    with monkeypatch.context() as patch:
        rmtree = shutil.rmtree
        patch.setattr(shutil, "rmtree", lambda path, **more: None if path == left else rmtree(path, **more))
        fill(target, "new")
        assert (target / "marker.json").read_text() == "new"
        assert names(left) == [".nfs1"]
    fill(target, "newer")
    assert names(tmp_path) == ["model"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no path is as long")
def test_folders_deeper_than_the_stack_are_removed(tmp_path):
    """On cc3f76c such folders in a clone's `.submodel` ended each build with a trace, before Python 3.13."""
    target, kept = tmp_path / "model", tmp_path / "kept"
    fill(target, "old")
    fill(kept, "kept")
    deep = str(tmp_path / ".model.replaced")
    for _ in range(1200):
        os.mkdir(deep)  # noqa: PTH102 - a Path of each would take long
        deep += "/d"
    (tmp_path / ".model.replaced" / "d" / "other").mkdir()
    (tmp_path / ".model.replaced" / "d" / "link").symlink_to(kept, target_is_directory=True)
    fill(target, "new")
    assert names(tmp_path) == ["kept", "model"]
    assert (kept / "marker.json").read_text() == "kept"


@pytest.mark.skipif(sys.platform == "win32", reason="a link needs a right there")
def test_read_only_files_are_removed_on_windows_too(tmp_path, monkeypatch):
    """git's packs and objects are read-only. On 1e37c6c they stayed there, and with them their folders."""
    unlink = os.unlink

    def unlink_as_windows(path, *, dir_fd=None):
        if not os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode & stat.S_IWUSR:
            raise PermissionError(errno.EACCES, "Access is denied", path)
        unlink(path, dir_fd=dir_fd)

    other, pack = tmp_path / "other", tmp_path / "clone" / ".git" / "objects" / "a.pack"
    pack.parent.mkdir(parents=True)
    for path in (other, pack):
        path.touch()
        path.chmod(0o400)
    (pack.parent / "link").symlink_to(other)
    monkeypatch.setattr(removal, "_is_windows", lambda: True)
    monkeypatch.setattr(os, "unlink", unlink_as_windows)
    removal.remove_tree(tmp_path / "clone")
    assert names(tmp_path) == ["other"]
    assert stat.S_IMODE(other.stat().st_mode) == 0o400


def test_what_cannot_be_removed_after_the_swap_is_no_failure(tmp_path, monkeypatch):
    target = tmp_path / "model"
    fill(target, "old")
    remove = folders.drop_folder

    def refuse(folder):
        if folder.name == ".model.replaced" and (target / "marker.json").read_text() == "new":
            raise OSError(errno.EBUSY, "busy")
        remove(folder)

    with monkeypatch.context() as patch:
        patch.setattr(folders, "drop_folder", refuse)
        fill(target, "new")
    fill(target, "newer")
    assert names(tmp_path) == ["model"]


def test_what_cannot_be_removed_after_a_failure_does_not_hide_it(tmp_path, monkeypatch):
    remove, target = folders.drop_folder, tmp_path / "model"

    def refuse(folder):
        if folder.name == ".model.partial" and folder.exists():
            raise OSError(errno.EBUSY, "busy")
        remove(folder)

    monkeypatch.setattr(folders, "drop_folder", refuse)
    with pytest.raises(ValueError, match="boom"), replace_folder(target, marker="marker.json"):
        raise ValueError("boom")


def test_an_os_error_becomes_one_sentence(tmp_path):
    with pytest.raises(BuildError, match="free space"), replace_folder(tmp_path / "model", marker="m") as fresh:
        raise OSError(28, "No space left on device", str(fresh / "weights"))
    assert names(tmp_path) == []


def test_a_folder_of_a_container_s_image_is_said_to_be_one(tmp_path, monkeypatch):
    """Overlayfs renames none, in neither way."""
    fill(tmp_path / "model", "old")

    def refuse(source, target):
        if source == tmp_path / "model":
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(source))
        return rename(source, target)

    rename = disk_calls.rename
    monkeypatch.setattr(folders, "rename", refuse)
    monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    with pytest.raises(
        BuildError, match=r"comes from a container's image.* `cp -r .*[/\\]model\S* .*[/\\]model\.new\S*`"
    ):
        fill(tmp_path / "model", "new")
    assert (tmp_path / "model" / "marker.json").read_text() == "old"
    assert names(tmp_path) == ["model"]


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


@pytest.mark.parametrize("moment", ["after the swap", "within it"])
def test_a_kill_at_the_swap_loses_neither_folder(tmp_path, monkeypatch, moment):
    target, keep = tmp_path / "model", tmp_path / "previous" / "model"
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    if not folders._exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system exchanges no names")
    fill(target, "old")
    call = {"after the swap": "sync", "within it": "rename"}[moment]
    real = getattr(folders, call)

    def interrupted(path, *others):
        if (target / "marker.json").read_text() == "new":
            raise KeyboardInterrupt
        real(path, *others)

    monkeypatch.setattr(folders, call, interrupted)
    with pytest.raises(KeyboardInterrupt), replace_folder(target, marker="marker.json", keep=keep) as fresh:
        (fresh / "marker.json").write_text("new")
    both = (("target", target), ("keep", keep))
    left = {name: (one / "marker.json").read_text() for name, one in both if one.is_dir()}
    assert left == ({"target": "new", "keep": "old"} if moment == "after the swap" else {"target": "old"})


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_reader_always_finds_one_of_the_two(tmp_path, monkeypatch, can_exchange):
    """At each step of a replacement, where the system can exchange names; elsewhere the next run repairs it."""
    target = tmp_path / "model"
    fill(target, "old")
    if not can_exchange:
        monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    seen, replace = [], Path.replace

    def look(self, other):
        replace(self, other)
        path = target / "marker.json"
        seen.append(path.read_text() if path.exists() else None)
        if seen[-1] is None:
            with pytest.raises(ValueError), replace_folder(target, marker="marker.json"):
                assert path.read_text() == "old", "a run that is killed here is put right by the next"
                raise ValueError
            replace(target, other)  # and now as if nothing had happened
            (tmp_path / ".model.partial").mkdir(exist_ok=True)
            ((tmp_path / ".model.partial") / "marker.json").write_text("new")

    monkeypatch.setattr(Path, "replace", look)
    fill(target, "new")
    assert (target / "marker.json").read_text() == "new"
    assert (None in seen) is (not can_exchange)
    assert names(tmp_path) == ["model"]


@pytest.fixture
def events(monkeypatch):
    """What is forced to the disk, and what gets which name, in that order."""
    events = []
    sync, replace = disk_calls.sync, Path.replace
    for module in (disk_calls, folders):
        monkeypatch.setattr(module, "sync", lambda path: (events.append(("sync", path.name)), sync(path))[1])
    monkeypatch.setattr(
        Path, "replace", lambda self, other: (events.append(("name", Path(other).name)), replace(self, other))[1]
    )
    return events


def test_what_was_written_is_on_the_disk_before_it_has_its_name(tmp_path, events):
    fill(tmp_path / "model", "x")
    assert events[:4] == [
        ("sync", "marker.json"),
        ("sync", ".model.partial"),
        ("name", "model"),
        ("sync", tmp_path.name),
    ]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_the_names_of_both_folders_are_on_the_disk(tmp_path, monkeypatch, events, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    keep = tmp_path / "previous" / "old"
    for text in ("old", "new"):
        with replace_folder(tmp_path / "model", marker="marker.json", keep=keep) as fresh:
            (fresh / "marker.json").write_text(text)
    assert ("sync", "previous") in events[events.index(("name", "old")) :]


def test_the_name_of_a_folder_that_is_put_back_is_on_the_disk(tmp_path, events):
    fill(tmp_path / ".model.replaced", "old")
    events.clear()
    restore_folder(tmp_path / "model")
    assert events == [("name", "model"), ("sync", tmp_path.name)]


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

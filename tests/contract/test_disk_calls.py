"""Renames, removals and forced writes as Windows, macOS and other systems answer them."""

import errno
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from contract.errors import BuildError
from contract.files import disk_calls, removal
from contract.files.disk_calls import remove_file, remove_folder
from contract.files.folders import replace_folder
from contract.files.whole_files import write_text


def test_a_folder_that_is_held_for_a_moment_is_removed_on_windows(tmp_path, monkeypatch):
    folder, waits, remove = tmp_path / "float32", [], removal.remove_tree
    folder.mkdir()
    (folder / "model.onnx").write_text("x")
    monkeypatch.setattr(disk_calls, "remove_tree", lambda path: remove(path) if len(waits) == 2 else None)
    monkeypatch.setattr(disk_calls, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(disk_calls, "_is_windows", lambda: True)
    remove_folder(folder)
    assert not folder.exists()
    assert len(waits) == 2


def test_a_file_that_is_held_for_a_moment_is_removed_on_windows(tmp_path, monkeypatch):
    left, waits, unlink = [13] * 2, [], os.unlink

    def refuse(path):
        if left:
            raise PermissionError(left.pop(), "in use")
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.setattr(disk_calls, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(disk_calls, "_is_windows", lambda: True)
    (tmp_path / "history.json").touch()
    remove_file(tmp_path / "history.json")
    assert not (tmp_path / "history.json").exists()
    assert len(waits) == 2
    remove_file(tmp_path / "history.json")
    left += [13] * 50
    with pytest.raises(PermissionError):
        remove_file(tmp_path / "history.json")


def test_a_folder_that_cannot_be_removed_is_an_error(tmp_path, monkeypatch):
    """What stays in a bundle would become a part of it."""

    def refuse(folder):
        raise PermissionError(errno.EACCES, "no right", str(folder))

    monkeypatch.setattr(disk_calls, "remove_tree", lambda path: None)
    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(PermissionError):
        remove_folder(tmp_path)


@pytest.mark.parametrize("knows", [True, False])
def test_on_macos_the_drive_s_cache_is_written_too_where_the_file_system_can(tmp_path, monkeypatch, knows):
    calls = []

    def fcntl(handle, command):
        calls.append(command)
        if not knows:
            raise OSError(errno.ENOTTY, "not this one")

    monkeypatch.setattr(disk_calls, "fcntl", SimpleNamespace(fcntl=fcntl, F_FULLFSYNC=51), raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("fsync"))
    disk_calls.sync(tmp_path)
    assert calls == ([51] if knows else [51, "fsync"])


@pytest.mark.parametrize(("times", "is_writable"), [(2, True), (100, True), (100, False)])
def test_a_flush_waits_for_who_holds_the_file_and_is_left_out_at_last(tmp_path, monkeypatch, times, is_writable):
    """Windows played: a scanner has the fresh file open. No wait helps with one that is read-only."""
    (tmp_path / "model.onnx").touch()
    left, waits, forced, open_file = [13] * times, [], [], os.open

    def refuse(path, flags):
        if left:
            raise PermissionError(left.pop(), "in use")
        return open_file(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: is_writable)
    monkeypatch.setattr(os, "fsync", forced.append)
    monkeypatch.setattr(disk_calls, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(disk_calls, "_is_windows", lambda: True)
    disk_calls.sync_tree(tmp_path)
    assert len(waits) == (min(times, 7) if is_writable else 0)
    assert len(forced) == (times == 2)
    monkeypatch.setattr(disk_calls, "_is_windows", lambda: False)
    left[:] = [13]
    with pytest.raises(PermissionError):
        disk_calls.sync(tmp_path / "model.onnx")


def test_a_rename_waits_for_who_holds_the_name(tmp_path, monkeypatch):
    """Windows played: another process has the old file open, for a moment or for good."""
    (tmp_path / "a").write_text("old")
    holds, waits, replace = [PermissionError(13, "in use")] * 2, [], Path.replace

    def refuse(self, other):
        if holds:
            raise holds.pop()
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(disk_calls, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(disk_calls, "_is_windows", lambda: True)
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert len(waits) == 2
    (tmp_path / "model").mkdir()
    holds += [PermissionError(13, "in use")] * 50
    with (
        pytest.raises(BuildError, match=r"model can't be written.*in use.*close what has it open"),
        replace_folder(tmp_path / "model", marker="m"),
    ):
        pass
    holds += [PermissionError(13, "in use")] * 50
    with pytest.raises(PermissionError):
        write_text(tmp_path / "a", "newer")
    holds.clear()
    assert (tmp_path / "a").read_text() == "new"
    monkeypatch.setattr(disk_calls, "_is_windows", lambda: False)
    holds += [PermissionError(13, "no right")]
    waits.clear()
    with pytest.raises(PermissionError):
        write_text(tmp_path / "a", "newer")
    assert waits == []

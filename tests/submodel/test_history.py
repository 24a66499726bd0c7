"""The record of what a model has seen, where it reads other files."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from contract.errors import BuildError
from contract.files import disk_calls
from submodel.build import history
from submodel.build.history import FILE, NEXT, drop_next_history, made_at, take_next_history


def test_an_update_s_history_that_a_scanner_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows played. The export has been refused then, and the old model stays."""
    left, unlink = [13] * 3, os.unlink

    def refuse(path: Path) -> None:
        if left:
            raise PermissionError(left.pop(), "in use", str(path))
        unlink(path)

    (tmp_path / NEXT).touch()
    monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.setattr(disk_calls, "time", Mock())
    monkeypatch.setattr(disk_calls, "_is_windows", lambda: True)
    drop_next_history(tmp_path)
    assert not (tmp_path / NEXT).exists()


def test_an_update_s_history_keeps_its_name_through_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[list[str]] = []
    monkeypatch.setattr(history, "sync", lambda folder: forced.append([path.name for path in folder.iterdir()]))
    (tmp_path / NEXT).touch()
    take_next_history(tmp_path)
    assert forced == [[FILE]]


def test_a_manifest_that_cannot_be_read_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_at(tmp_path) is None
    (tmp_path / "manifest.json").write_text("{}")
    monkeypatch.setattr(history, "hash_file", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(
        BuildError, match=r"manifest\.json can't be read \(Permission denied\); check its permissions\."
    ):
        made_at(tmp_path)

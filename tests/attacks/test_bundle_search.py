"""Bundles above a repository, and manifests that break their readers.

Each test succeeds as an attack on 9201313, that of a folder which holds the home folder also on 104ea66.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from contract.bundle.bundle import Bundle, find_bundle, read_manifest, seal_manifest
from contract.errors import BundleError


def test_a_bundle_above_the_repository_is_not_found(tmp_path: Path) -> None:
    (tmp_path / ".submodel" / "bundle").mkdir(parents=True)
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    (tmp_path / "clone" / "src").mkdir()
    with pytest.raises(BundleError, match="No bundle"):
        find_bundle(tmp_path / "clone" / "src")


def test_a_bundle_of_the_home_folder_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / ".submodel" / "bundle").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    with pytest.raises(BundleError, match="No bundle"):
        find_bundle(tmp_path / "work")


def test_a_bundle_of_a_folder_that_holds_the_home_folder_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "homes" / "me"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    (tmp_path / "homes" / ".submodel" / "bundle").mkdir(parents=True)
    for work in (home / "work", tmp_path / "homes" / "work"):
        work.mkdir(parents=True)
        with pytest.raises(BundleError, match="No bundle"):
            find_bundle(work)


@pytest.mark.parametrize(
    "change",
    [{"files": [1]}, {"held_out_sha256": 3}, {"learned_sha256": [[]]}, {"base": 1}, {"variants": {"fp16": 1}}],
)
def test_a_manifest_of_odd_types_is_refused(tiny_bundle: Bundle, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.folder, folder)
    seal_manifest(folder, {**read_manifest(folder), **change})
    with pytest.raises(BundleError):
        read_manifest(folder)

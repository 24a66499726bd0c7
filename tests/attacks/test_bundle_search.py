"""Bundles above a repository, and manifests that break their readers.

Each test succeeds as an attack on 9201313, that of a folder which holds the home folder also on 104ea66, and those of
long looks on cc3f76c.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.bundle.bundle import Bundle, find_bundle
from contract.bundle.manifest import read_manifest, write_manifest
from contract.errors import BundleError, RegistryError
from fleet.publishing.found_bundles import find_bundles
from lsp_server.bundle_finder import BundleFinder
from submodel.commands.trust import trust


def test_a_bundle_above_the_repository_is_not_found(tmp_path: Path) -> None:
    (tmp_path / ".submodel" / "bundle").mkdir(parents=True)
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    (tmp_path / "clone" / "src").mkdir()
    with pytest.raises(BundleError, match="No bundle"):
        find_bundle(tmp_path / "clone" / "src")


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
@pytest.mark.parametrize("link", [".submodel", ".submodel/bundle"])
def test_a_bundle_of_another_repository_is_not_found_through_a_link(tmp_path: Path, link: str) -> None:
    """Succeeds on 11cca76f: the model of other code that this account has built answered in a clone."""
    (tmp_path / "company" / ".submodel" / "bundle").mkdir(parents=True)
    clone = tmp_path / "clone"
    (clone / link).parent.mkdir(parents=True)
    (clone / link).symlink_to(tmp_path / "company" / link)
    with pytest.raises(BundleError, match=r"\.submodel/bundle is a link, which is not followed"):
        find_bundle(clone)
    assert BundleFinder().for_file(clone / "a.py", [clone]) is None
    with pytest.raises(RegistryError, match="has no bundle"):
        find_bundles(clone)
    (tmp_path / "company" / ".submodel" / "bundle" / "bundle.json").write_text("{}")
    with pytest.raises(BundleError, match="is a link, which no server follows"):
        trust(clone)


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


def test_a_deep_path_takes_no_looks_by_the_square_of_its_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On cc3f76c a path of 2,000 folders took two million looks, on the event loop, every five seconds."""
    looks = 0

    def counted(look: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        def count(*arguments: Any, **options: Any) -> os.stat_result:
            nonlocal looks
            looks += 1
            return look(*arguments, **options)

        return count

    monkeypatch.setattr(os, "stat", counted(os.stat))
    monkeypatch.setattr(os, "lstat", counted(os.lstat))
    with pytest.raises(BundleError, match="No bundle"):
        find_bundle(tmp_path.joinpath(*"a" * 400))
    assert looks < 400 * 60


def test_a_look_is_remembered_however_long_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, looks = 0.0, 0

    def find(start: Path) -> Path:
        nonlocal now_s, looks
        now_s, looks = now_s + 60, looks + 1
        raise BundleError("No bundle")

    monkeypatch.setattr("lsp_server.bundle_finder.find_bundle", find)
    finder = BundleFinder(now=lambda: now_s)
    for _ in range(2):
        assert finder.for_file(tmp_path / "a.py", []) is None
    assert looks == 1


@pytest.mark.parametrize(
    "change",
    [{"files": [1]}, {"held_out_sha256": 3}, {"learned_sha256": [[]]}, {"base": 1}, {"variants": {"fp16": 1}}],
)
def test_a_manifest_of_odd_types_is_refused(tiny_bundle: Bundle, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.folder, folder)
    write_manifest(folder, {**read_manifest(folder), **change})
    with pytest.raises(BundleError):
        read_manifest(folder)

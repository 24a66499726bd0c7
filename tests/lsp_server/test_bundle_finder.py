from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from contract.bundle.manifest import build_of
from contract.bundle.trusted_builds import trust_build
from contract.errors import BundleError
from lsp_server.bundle_finder import RETRY_S, BundleFinder, manifest_or_empty, search_bundle, workspace_of
from tests.lsp_server.closed_folders import close


@pytest.fixture(autouse=True)
def _trusts_nothing_else(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """These bundles all have one hash, which no other test's bundle may be trusted by."""
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path_factory.mktemp("state")))


def make_bundle(root: Path, name: str = "bundle", age: int = 0) -> Path:
    folder = root / ".submodel" / name
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")
    os.utime(folder, (1e9 - age, 1e9 - age))
    trust_build(build_of(folder))
    return folder


def test_each_file_gets_the_nearest_bundle(tmp_path: Path) -> None:
    outer, inner = make_bundle(tmp_path), make_bundle(tmp_path / "vendored" / "lib")
    finder = BundleFinder()
    assert finder.for_file(tmp_path / "src" / "a.py", [tmp_path]) == outer
    assert finder.for_file(tmp_path / "vendored" / "lib" / "b" / "c.py", [tmp_path]) == inner


def test_a_folder_that_can_t_be_looked_at_has_none_and_the_sentence_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path)
    close(bundle, monkeypatch)
    assert BundleFinder().for_file(tmp_path / "a.py", [tmp_path]) is None
    with pytest.raises(BundleError) as caught:
        search_bundle(tmp_path)
    sentence = f"No bundle can be looked for in {bundle} (Permission denied); check its permissions."
    assert str(caught.value) == sentence
    with pytest.raises(BundleError, match="null"):
        search_bundle(Path("a\0b"))


def test_documents_that_are_no_files_get_that_of_the_first_folder_that_has_one(tmp_path: Path) -> None:
    second = make_bundle(tmp_path / "two")
    folders = [tmp_path / "one", tmp_path / "two"]
    assert BundleFinder().for_file(None, folders) == second
    assert BundleFinder().for_file(None, [tmp_path / "one"]) is None


def test_no_file_gets_the_model_of_another_repository(tmp_path: Path) -> None:
    own = make_bundle(tmp_path / "two")
    (tmp_path / "two" / "submodule" / ".git").mkdir(parents=True)
    folders = [tmp_path / "one", tmp_path / "two"]
    assert BundleFinder().for_file(tmp_path / "one" / "a.py", folders) is None
    assert BundleFinder().for_file(tmp_path / "elsewhere.py", folders) is None
    assert BundleFinder().for_file(tmp_path / "two" / "submodule" / "a.py", folders) == own


def test_one_that_is_set_serves_all(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    assert BundleFinder(Path("/set")).for_file(tmp_path / "a.py", [tmp_path]) == Path("/set")


def test_one_that_the_command_line_names_is_not_refused_beside_its_files(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    (bundle / "bundle.json").write_text('{"written by": "a stranger"}')
    finder = BundleFinder(bundle)
    assert finder.for_file(tmp_path / "a.py", [tmp_path]) == bundle
    finder.root_of(tmp_path / "a.py", bundle, [tmp_path])  # looks what lies above the file
    assert finder.refused == {}
    finder.fix(tmp_path / "another")
    assert list(finder.refused) == [bundle], "it is served no more"


@pytest.mark.parametrize("end", ["it is removed", "it is trusted"])
def test_one_that_is_gone_or_trusted_by_now_is_refused_no_more(tmp_path: Path, end: str) -> None:
    """A request of another folder is enough: nobody may type in the bundle's own any more."""
    now = 0.0
    finder = BundleFinder(now=lambda: now)
    foreign, own = make_bundle(tmp_path / "one"), make_bundle(tmp_path / "two")
    (foreign / "bundle.json").write_text('{"written by": "a stranger"}')
    assert finder.for_file(tmp_path / "one" / "a.py", []) is None
    now += RETRY_S
    assert finder.for_file(tmp_path / "two" / "a.py", []) == own
    assert list(finder.refused) == [foreign], "it is still there"
    if end == "it is removed":
        shutil.rmtree(foreign)
    else:
        trust_build(build_of(foreign))
    now += RETRY_S
    assert finder.for_file(tmp_path / "two" / "a.py", []) == own
    assert finder.refused == {}


def test_one_that_is_set_belongs_to_the_repository_that_it_lies_in_if_that_has_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path)
    old = make_bundle(tmp_path, "previous/a")
    (tmp_path / "src").mkdir()
    assert BundleFinder(old).repository_of(old, tmp_path / "src") == tmp_path
    monkeypatch.chdir(tmp_path)
    finder = BundleFinder(Path(".submodel/bundle"))
    bundle = finder.for_file(None, [])
    assert bundle is not None
    assert finder.repository_of(bundle, tmp_path) == tmp_path
    home = tmp_path / "home"
    other = make_bundle(home, "models/python")
    (home / "work").mkdir()
    assert BundleFinder(other).repository_of(other, home / "work") is None, "all of the home folder is no repository"


def test_bundle_that_is_built_meanwhile_is_found(tmp_path: Path) -> None:
    now = 0.0
    finder = BundleFinder(now=lambda: now)
    assert finder.for_file(tmp_path / "a.py", []) is None
    bundle = make_bundle(tmp_path)
    assert finder.for_file(tmp_path / "a.py", []) is None, "not looked for at every key"
    now += RETRY_S
    assert finder.for_file(tmp_path / "a.py", []) == bundle


def test_a_nearer_one_that_appears_is_found_and_one_that_goes_is_forgotten(tmp_path: Path) -> None:
    now = 0.0
    finder = BundleFinder(now=lambda: now)
    outer, file = make_bundle(tmp_path), tmp_path / "lib" / "a.py"
    assert finder.for_file(file, []) == outer
    inner = make_bundle(tmp_path / "lib")
    assert finder.for_file(file, []) == outer, "not looked for at every key"
    now += RETRY_S
    assert finder.for_file(file, []) == inner
    shutil.rmtree(tmp_path / "lib" / ".submodel")
    now += RETRY_S
    assert finder.for_file(file, []) == outer


def test_facts_of_a_bundle(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    assert workspace_of(bundle) == tmp_path
    assert workspace_of(make_bundle(tmp_path, "previous/a")) == tmp_path
    assert workspace_of(Path("/models/mine")) is None
    assert manifest_or_empty(bundle) == {}
    (bundle / "bundle.json").write_text("[")
    assert manifest_or_empty(bundle) == {}

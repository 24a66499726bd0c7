from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.bundle.bundle import CHECKPOINT_MANIFEST, Bundle
from contract.bundle.manifest import build_of, read_manifest, write_manifest
from contract.bundle.pulled_builds import PulledFrom, note_pulled
from contract.files.whole_files import write_text
from contract.versions import PROGRAM
from lsp_server.drift import Drift
from lsp_server.repositories import Repositories
from submodel.build import history
from submodel.build.paths import BuildPaths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "shapes.py").write_text("def area(width):\n    return width\n")
    return folder


@pytest.fixture
def bundle(root: Path, tiny_bundle: Bundle) -> Path:
    """The repository's own, built when there was another file."""
    folder = root / ".submodel" / "bundle"
    shutil.copytree(tiny_bundle.folder, folder)
    write_manifest(folder, {**read_manifest(folder), "learned_sha256": [hashlib.sha256(b"gone").hexdigest()]})
    return folder


@pytest.fixture
def build(root: Path, bundle: Path) -> BuildPaths:
    """What a build of this version left beside the bundle."""
    paths = BuildPaths(root=root / ".submodel")
    paths.model.mkdir()
    made_of = {name: value for name, value in read_manifest(bundle).items() if name in ("plan", "learned_sha256")}
    (paths.model / CHECKPOINT_MANIFEST).write_text(json.dumps(made_of))
    paths.stages.mkdir()
    (paths.stages / history.FILE).write_text(json.dumps({"program": PROGRAM}))
    return paths


async def until_read(repositories: Repositories, bundle: Path) -> None:
    while repositories.drift_of(bundle) is None:
        await asyncio.sleep(0.01)


def test_what_is_forgotten_is_read_no_more(root: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Path] = []
    read: list[Path] = []
    take = Repositories._take

    def noted(self: Repositories, root: Path, *rest: Any) -> None:
        take(self, root, *rest)
        read.append(root)

    monkeypatch.setattr(Repositories, "_take", noted)

    async def test() -> None:
        repositories = Repositories(on_drift=lambda root, drift: reported.append(root))
        repositories.read(root, bundle)
        await until_read(repositories, bundle)
        assert repositories.drift_of(bundle) is not None
        repositories.keep([root / "src"])  # a folder of it is open
        repositories.keep([root.parent])  # or one that holds it
        assert repositories.drift_of(bundle) is not None
        repositories.read(root, bundle)
        repositories.keep([root.parent / "other"])  # before the second reading is over
        while len(read) < 2:
            await asyncio.sleep(0.01)
        assert repositories.drift_of(bundle) is None

    asyncio.run(test())
    assert reported == [root]


def test_a_repository_is_read_once_unless_it_is_asked_to_be_read_anew(
    root: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    finish = Repositories._finish

    def noted(self: Repositories, root: Path, *rest: Any) -> None:
        read.append(root)
        finish(self, root, *rest)

    monkeypatch.setattr(Repositories, "_finish", noted)

    async def test() -> None:
        repositories = Repositories()
        for _ in range(3):
            repositories.read_once(root, bundle)
        repositories.read(root, bundle)
        while len(read) < 2:
            await asyncio.sleep(0.01)
        repositories.close()

    asyncio.run(test())
    assert read == [root, root]


def test_after_a_build_a_repository_is_read_anew_though_it_was_found_by_a_request(root: Path, bundle: Path) -> None:
    async def test() -> None:
        repositories = Repositories()
        repositories.read_once(root, bundle)
        await until_read(repositories, bundle)
        repositories.forget_readings()
        assert repositories.drift_of(bundle) is None
        repositories.read_once(root, bundle)
        while repositories.drift_of(bundle) is None:
            await asyncio.sleep(0.01)
        repositories.close()

    asyncio.run(test())


def test_of_a_repository_that_another_bundle_serves_there_is_no_drift(root: Path, bundle: Path) -> None:
    other = root.parent / "other"
    other.mkdir()
    shutil.move(root / ".submodel", other)
    bundle = other / bundle.relative_to(root)
    reported: list[Drift] = []

    async def test() -> None:
        repositories = Repositories(on_drift=lambda root, drift: reported.append(drift))
        repositories.read(root, bundle)
        assert not repositories._is_reading
        assert repositories.drift_of(bundle) is None
        repositories.close()

    asyncio.run(test())
    assert reported == []


def test_a_user_who_went_back_to_an_earlier_bundle_is_not_sent_forward(root: Path, bundle: Path) -> None:
    earlier = bundle.parent / "previous" / "2026-01-01T00-00-00-000Z"
    shutil.copytree(bundle, earlier)

    async def test() -> None:
        repositories = Repositories()
        repositories.read(root, earlier)
        assert not repositories._is_reading
        repositories.close()

    asyncio.run(test())


def test_of_a_build_that_a_limit_cut_off_no_drift_is_told(
    root: Path, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_manifest(bundle, {**read_manifest(bundle), "corpus": {"skipped": {"over the total limit": 1}}})

    async def test() -> None:
        repositories = Repositories()
        repositories.read(root, bundle)
        while repositories._is_reading:
            await asyncio.sleep(0.01)
        assert repositories.drift_of(bundle) is None
        repositories.close()

    asyncio.run(test())
    assert "How far a repository has changed is not known" in caplog.text


def command_of(root: Path, bundle: Path) -> str:
    async def test() -> str:
        repositories = Repositories()
        repositories.read(root, bundle)
        await until_read(repositories, bundle)
        repositories.close()
        drift = repositories.drift_of(bundle)
        assert drift is not None
        return drift["command"]

    return asyncio.run(test())


def test_what_a_build_of_this_version_left_can_be_updated(root: Path, bundle: Path, build: BuildPaths) -> None:
    assert command_of(root, bundle) == f"submodel update {root}"


def test_what_was_pulled_is_pulled_again(root: Path, bundle: Path) -> None:
    write_manifest(bundle, {**read_manifest(bundle), "pulled": True})  # a build of its own
    note_pulled(build_of(bundle), PulledFrom(address="https://models/", name=None))
    assert command_of(root, bundle) == f"submodel pull https://models/ {root}"


CANT_UPDATE: dict[str, Callable[[BuildPaths], None]] = {
    "unpacked or exported, without a sub-model": lambda build: shutil.rmtree(build.model),
    "pulled over an earlier build": lambda build: write_manifest(
        build.bundle, {**read_manifest(build.bundle), "plan": {"kept": 0}}
    ),
    "of a language, without a history": lambda build: (build.stages / history.FILE).unlink(),
    "of another version": lambda build: write_text(build.stages / history.FILE, '{"program": "12.7"}'),
    "with a history that is a list": lambda build: write_text(build.stages / history.FILE, '["program"]'),
    "with a broken history": lambda build: write_text(build.stages / history.FILE, "{"),
}


@pytest.mark.parametrize("case", CANT_UPDATE)
def test_any_other_bundle_asks_for_a_build(root: Path, bundle: Path, build: BuildPaths, case: str) -> None:
    CANT_UPDATE[case](build)
    assert command_of(root, bundle) == f"submodel build {root}"


def test_it_is_not_read_while_somebody_asks_the_model(root: Path, bundle: Path) -> None:
    quiet_in_s = [0.003, 0.002, 0.001, 0.0]

    async def test() -> None:
        repositories = Repositories(quiet_in_s=lambda: quiet_in_s.pop(0) if quiet_in_s else 0.0)
        repositories.read(root, bundle)
        repositories.read(root, bundle)
        assert not repositories._is_reading
        await until_read(repositories, bundle)
        repositories.close()

    asyncio.run(test())
    assert quiet_in_s == [], "it looks once for each reading, and again whenever a quiet time should have come"


def test_it_is_not_read_again_while_nobody_uses_it(root: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp_server.repositories.REREAD_S", 0.01)
    asked: list[bool] = []

    async def test() -> None:
        repositories = Repositories(may_reread=lambda: bool(asked.append(True)))
        repositories.read(root, bundle)
        await until_read(repositories, bundle)
        first = repositories.drift_of(bundle)
        while len(asked) < 3:
            await asyncio.sleep(0.01)
        assert repositories.drift_of(bundle) is first
        repositories.close()

    asyncio.run(test())


def test_a_reading_stands_still_while_somebody_types(root: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([0.0, 0.02, 0.01, 0.0])  # quiet at its begin, then a key, and quiet again
    asked: list[float] = []

    def quiet_in_s() -> float:
        asked.append(next(left, 0.0))
        return asked[-1]

    async def test() -> None:
        repositories = Repositories(quiet_in_s=quiet_in_s)
        repositories.read(root, bundle)
        await until_read(repositories, bundle)
        repositories.close()

    asyncio.run(test())
    assert asked[:4] == [0.0, 0.02, 0.01, 0.0]
    left = iter([0.0, *[0.02] * 100])
    monkeypatch.setattr("lsp_server.repositories.MAX_REST_S", 0.03)
    asked.clear()
    asyncio.run(test())  # whoever never stops typing learns of drift all the same
    assert len(asked) < 20


def test_an_unexpected_error_is_logged(
    root: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(root: Path, rest: Callable[[], None], *, is_git_s: bool) -> list[str]:
        raise RecursionError

    monkeypatch.setattr("lsp_server.repositories.read_current_hashes", fail)

    async def test() -> None:
        repositories = Repositories()
        repositories.read(root, bundle)
        while repositories._is_reading:
            await asyncio.sleep(0.01)
        repositories.close()

    asyncio.run(test())
    assert f"The repository {root} can't be read" in caplog.text

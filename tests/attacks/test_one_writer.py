"""Commands that write to a folder to which another one writes. On 104ea66 a build alone locked a workspace."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.bundle.bundle import Bundle
from contract.errors import BuildError
from exporters.packed_bundle import pack_bundle
from submodel.build.lock import LockedError, build_lock
from submodel.build.paths import BuildPaths
from submodel.commands.export import export
from submodel.commands.pack import unpack
from submodel.console import StageDisplay
from submodel.evaluation.evaluation_run import _Evaluation
from submodel.registry.pull_run import PullSettings, run_pull


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository" / ".submodel"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder.parent)
    return folder


def start_build(folder: Path, display: StageDisplay) -> None:
    from submodel.build.build_settings import BuildSettings
    from submodel.build.pipeline import run_build

    run_build(BuildSettings(repository=folder.parent, output=folder, minutes=0, positions=0), display)


def start_fleet(folder: Path, display: StageDisplay) -> None:
    from fleet.fleet_run import FleetSettings, run_fleet

    file = folder.parent / "fleet.toml"
    file.write_text(f"repositories = [{str(folder.parent)!r}]")
    run_fleet(FleetSettings(file=file, output=folder), display)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "held"),
    [(start_build, ".submodel"), (start_fleet, ".submodel/.work")],
    ids=["build", "fleet"],
)
def test_a_command_refuses_a_folder_that_another_one_writes_to(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[[Path, StageDisplay], None], held: str
) -> None:
    monkeypatch.setattr("submodel.build.pipeline.read_checkout", lambda *_: None)
    monkeypatch.setattr("submodel.build.pipeline.resolve_base", lambda *_, **__: pytest.fail("the build begins"))
    monkeypatch.setattr("fleet.fleet_run.Fleet", lambda *_: pytest.fail("the fleet begins"))
    folder = workspace.parent / held
    folder.mkdir(exist_ok=True)
    with build_lock(folder), StageDisplay() as display, pytest.raises(LockedError, match="writing to"):
        start(workspace, display)


def test_pull_waits_for_no_build(registry: Path, repository: Path, key: str) -> None:
    workspace = repository / ".submodel"
    workspace.mkdir()
    with build_lock(workspace), pytest.raises(LockedError, match="writing to"):
        run_pull(PullSettings(folder=repository, address=str(registry), key=key))
    assert not (workspace / "bundle").exists()


def test_unpack_waits_for_no_build(workspace: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    packed = tmp_path / "packed.submodel"
    pack_bundle(tiny_bundle.folder, packed)
    with build_lock(workspace), pytest.raises(BuildError, match=r"process \d+ .*writing to.*wait for it"):
        unpack(packed, None)
    assert not (workspace / "bundle").exists()
    unpack(packed, None)
    assert (workspace / "bundle" / "bundle.json").is_file()
    unpack(packed, tmp_path / "elsewhere")
    assert [path.name for path in tmp_path.glob("*lock*")] == [], "another folder needs none"


def test_export_waits_for_no_build(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("exporters.bundle_export.export_any", lambda *arguments, **_: asked.append(arguments))
    with build_lock(workspace), pytest.raises(BuildError, match="writing to"):
        export(workspace / "model", workspace / "bundle")
    assert asked == []


def test_export_waits_for_no_build_into_another_folder(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporters.bundle_export.export_any", lambda *_, **__: pytest.fail("it is exported"))
    output = workspace.parent / "out"
    output.mkdir()
    with build_lock(output), pytest.raises(BuildError, match="writing to"):
        export(workspace / "model", output / "bundle")


@pytest.mark.slow
def test_a_build_puts_back_what_a_killed_command_left_beside_its_name(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / ".bundle.replaced").mkdir()
    monkeypatch.setattr("submodel.build.pipeline.read_checkout", lambda *_: None)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("submodel.build.pipeline.resolve_base", stop)
    with StageDisplay() as display, pytest.raises(KeyboardInterrupt):
        start_build(workspace, display)
    assert (workspace / "bundle").is_dir()


def test_figures_of_an_evaluation_wait_for_a_build_and_are_not_written_beside_one(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "report.json").write_text(json.dumps({"schema": 0}))
    said: list[str] = []
    evaluation = SimpleNamespace(
        _paths=BuildPaths(root=workspace),
        _display=SimpleNamespace(say=said.append),
        _graph=None,
    )
    evaluation._keeps_figures = lambda: _Evaluation._keeps_figures(evaluation)  # type: ignore[arg-type]
    evaluation._write = lambda *arguments: _Evaluation._write(evaluation, *arguments)  # type: ignore[arg-type]
    held = ExitStack()
    held.enter_context(build_lock(workspace))
    with monkeypatch.context() as patch:
        patch.setattr("submodel.evaluation.evaluation_run.KEEP_WAIT_S", -1.0)
        _Evaluation._keep(evaluation, {"models": []})  # type: ignore[arg-type]
    assert not (workspace / "evaluation.json").exists()
    assert "not kept: Another submodel command" in said[0]
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: held.close())
    monkeypatch.setattr("submodel.build.lock.time", clock)
    _Evaluation._keep(evaluation, {"models": []})  # type: ignore[arg-type]
    assert (workspace / "evaluation.json").exists()

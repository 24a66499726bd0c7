"""Commands that replace a workspace's bundle beside a build. Each test fails on 104ea66: only a build locked there."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.bundle.bundle import Bundle
from contract.errors import BuildError
from exporters.packed_bundle import pack_bundle
from submodel.build.lock import build_lock
from submodel.commands.export import export
from submodel.commands.pack import unpack
from submodel.evaluation.evaluation_run import _Evaluation


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository" / ".submodel"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder.parent)
    return folder


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


def test_figures_of_an_evaluation_are_shown_but_not_written_beside_a_build(workspace: Path) -> None:
    (workspace / "report.json").write_text(json.dumps({"schema": 0}))
    said: list[str] = []
    evaluation = SimpleNamespace(
        _root=workspace,
        _settings=SimpleNamespace(language=None),
        _display=SimpleNamespace(say=said.append),
        _graph=None,
    )
    evaluation._keeps_figures = lambda: _Evaluation._keeps_figures(evaluation)  # type: ignore[arg-type]
    evaluation._write = lambda *arguments: _Evaluation._write(evaluation, *arguments)  # type: ignore[arg-type]
    with build_lock(workspace):
        _Evaluation._keep(evaluation, {"models": []})  # type: ignore[arg-type]
    assert not (workspace / "evaluation.json").exists()
    assert "not kept: Another submodel command" in said[0]
    _Evaluation._keep(evaluation, {"models": []})  # type: ignore[arg-type]
    assert (workspace / "evaluation.json").exists()

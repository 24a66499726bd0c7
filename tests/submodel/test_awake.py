"""The machine stays awake during a build."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from typer.testing import CliRunner

from contract.errors import BuildError
from submodel import awake
from submodel.app import app
from submodel.awake import ES_CONTINUOUS, ES_SYSTEM_REQUIRED, kept_awake

ASKED, TAKEN_BACK = ES_CONTINUOUS | ES_SYSTEM_REQUIRED, ES_CONTINUOUS


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What Windows would be asked for."""
    asked: list[int] = []
    monkeypatch.setattr(awake, "platform", SimpleNamespace(system=lambda: "Windows"))
    monkeypatch.setattr(awake, "_set_execution_state", asked.append)
    return asked


def test_windows_is_asked_and_what_was_asked_is_taken_back(states: list[int]) -> None:
    with pytest.raises(ValueError, match="failed"), kept_awake():
        assert states == [ASKED]
        raise ValueError("failed")
    assert states == [ASKED, TAKEN_BACK]


@pytest.mark.skipif(sys.platform == "win32", reason="caffeinate is played by a shell script")
def test_on_macos_caffeinate_runs_meanwhile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program, heard = tmp_path / "caffeinate", tmp_path / "heard"
    os.mkfifo(heard)
    program.write_text(f'#!/bin/sh\necho $$ "$@" > {heard}\nexec sleep 600\n')
    program.chmod(0o700)
    monkeypatch.setattr(awake, "platform", SimpleNamespace(system=lambda: "Darwin"))
    monkeypatch.setattr(awake, "find_program", lambda name: str(program))
    with kept_awake():
        pid, *options = heard.read_text().split()
        assert options == ["-i", "-w", str(os.getpid())]
        assert psutil.pid_exists(int(pid))
    assert not psutil.pid_exists(int(pid))


@pytest.mark.parametrize("program", [None, "/nowhere/caffeinate"])
def test_without_caffeinate_the_command_runs_all_the_same(monkeypatch: pytest.MonkeyPatch, program: str | None) -> None:
    monkeypatch.setattr(awake, "platform", SimpleNamespace(system=lambda: "Darwin"))
    monkeypatch.setattr(awake, "find_program", lambda name: program)
    with kept_awake():
        pass


@pytest.mark.slow  # it imports what builds
def test_a_build_keeps_the_machine_awake(states: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    during: list[list[int]] = []

    def run(*_: object) -> None:
        during.append(list(states))
        raise BuildError("Stopped.")

    monkeypatch.setattr("submodel.build.pipeline.run_build", run)
    CliRunner().invoke(app, ["build", str(tmp_path)])
    assert during == [[ASKED]]
    assert states == [ASKED, TAKEN_BACK]

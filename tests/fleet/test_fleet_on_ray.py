"""`submodel-fleet build` on a real Ray that loses a worker: the models are those of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from fleet import fleet_run
from fleet.fleet_run import FleetSettings, run_fleet
from fleet.layout import LOG
from fleet.task import build_repository, describe
from submodel.console import StageDisplay
from testbed.models import save_base
from testbed.python_files import write_python
from tests.fleet.fleet_tasks import make_task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's"),
]
NAMES = ("one", "two")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        write_python(tmp_path / name / "src", range(16), name=name, rng=random.Random(seed))
    base = save_base(tmp_path / "base", kind="qwen2")
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "a.py").write_text("x = 1\n")
    (tmp_path / "fleet.toml").write_text(
        f"""repositories = ["one", "two", "few"]
        build = {{base = {str(base)!r}, size = 0.8, minutes = 0, quantize = "fp32", positions = 4}}
        task = {{cores = 1}}
        """
    )
    return tmp_path


def run(place: Path, output: str) -> dict[str, Any]:
    with StageDisplay() as display:
        return run_fleet(FleetSettings(file=place / "fleet.toml", output=place / output), display)


def models(document: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["result"]["bundle"]["files_sha256"] for row in document["repositories"] if "result" in row}


def in_this_process(tasks: Any, *, address: str, on_event: Any) -> Iterator[tuple[str, Any]]:
    for name, (task, _) in tasks.items():
        yield name, build_repository(describe(task))


def test_a_killed_worker_changes_no_model(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not here: make test-tools")
    with monkeypatch.context() as patch:
        patch.setattr(fleet_run, "build_on_cluster", in_this_process)
        patch.setattr(fleet_run, "fastest_dtype", lambda: torch.bfloat16)  # two runs may measure two
        whole = run(place, "whole")
    monkeypatch.setattr(fleet_run, "fastest_dtype", lambda: torch.bfloat16)
    killed: list[str] = []
    ended = threading.Event()
    work = place / "disturbed" / fleet_run.WORK

    def kill_when(name: str, is_so: Callable[[], bool], title: str) -> None:
        while not ended.is_set():
            if is_so() and kill(title):
                killed.append(name)
                return
            time.sleep(0.05)

    def disturb() -> None:
        kill_when("worker", lambda: has_begun(work, "prune"), "ray::one")

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        disturbed = run(place, "disturbed")
    finally:
        ended.set()
        thread.join()
    assert killed == ["worker"]
    assert set(models(whole)) == set(NAMES)
    assert models(disturbed) == models(whole)
    (failed,) = [row for row in disturbed["repositories"] if row["state"] == "failed"]
    assert failed["name"] == "few" and "code" in failed["reason"]
    assert "defect" not in failed["reason"]


def has_begun(work: Path, stage: str) -> bool:
    """Whether a build of the two is at a stage, or was."""
    for name in NAMES:
        try:
            lines = (work / name / LOG).read_text("utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                if json.loads(line).get("stage") == stage:
                    return True
            except (ValueError, AttributeError):
                continue
    return False


def kill(title: str) -> bool:
    """Kill the processes below this one whose command line begins with, or whose program has, that name."""
    found = False
    for process in psutil.Process().children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if words and (words[0].startswith(title) or Path(words[0]).name == title):
            process.send_signal(signal.SIGKILL)
            found = True
    return found


@pytest.mark.parametrize(
    ("differs", "sentence"),
    [
        ({"program": "another"}, "has another version of submodel; install one version on all machines."),
        ({"base_sha256": "another"}, "base b has other weights on"),
    ],
    ids=["program", "base"],
)
def test_a_machine_with_another_program_or_other_weights_builds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, differs: dict[str, str], sentence: str
) -> None:
    built: list[object] = []
    monkeypatch.setattr("submodel.build.pipeline.run_build", lambda *arguments: built.append(arguments))
    monkeypatch.setattr("builder.bases.resolve.resolve_base", lambda *words, **options: SimpleNamespace(sha256="b"))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.py").write_text("x = 1\n")
    source = str(tmp_path / "source")
    task = make_task(tmp_path / "work", source=source, fingerprint="files:", base="the base b")
    assert "reason" not in build_repository(describe(task))
    assert len(built) == 1
    assert sentence in build_repository(describe(replace(task, **differs)))["reason"]  # type: ignore[arg-type]
    assert len(built) == 1


@pytest.mark.parametrize("change", [{"new": 1}, {"dtype": None}], ids=["a field more", "a field less"])
def test_a_task_of_another_version_is_refused_whatever_its_fields(tmp_path: Path, change: dict[str, object]) -> None:
    for program in ({"program": "another"}, {}):  # fields may change with the same program, too
        document = {**describe(make_task(tmp_path / "work")), **program, **change}
        document = {name: value for name, value in document.items() if value is not None}
        assert "install one version on all machines." in build_repository(document)["reason"]

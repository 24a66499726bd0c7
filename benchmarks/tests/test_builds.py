"""What steps of a benchmark keep, how it ends, and which program it names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import builds
from benchmarks.builds import read_mark, run_once, run_program
from benchmarks.machine import describe_versions
from contract.bundle.bundle import read_bundle
from contract.versions import PROGRAM


def test_what_a_user_can_mend_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no bundle"):
        run_program(lambda: print(read_bundle(tmp_path)))
    with pytest.raises(SystemExit, match="exit status 3"):
        run_program(lambda: print(subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)))


def test_what_another_run_made_is_not_gone_on_with(tmp_path: Path) -> None:
    mark = tmp_path / "mark.json"
    mark.write_text(json.dumps({"origin": {"commit": "a"}, "seconds": 1.5}))

    assert read_mark(mark, {"commit": "a"})["seconds"] == 1.5
    with pytest.raises(SystemExit, match="begin anew"):
        read_mark(mark, {"commit": "b"})


def test_a_step_keeps_what_was_measured_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "timed_run", lambda words, folder: {"seconds": 1.0})
    sizes = iter((7, 8))
    steps = [
        run_once(tmp_path / "mark.json", ["update"], tmp_path, "a" * 40, lambda: {"bundle_bytes": next(sizes)})
        for _ in range(2)
    ]

    assert [step["bundle_bytes"] for step in steps] == [7, 7]


def test_a_step_that_is_stopped_behind_its_command_does_not_run_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter((1.0, 2.0))
    monkeypatch.setattr(builds, "timed_run", lambda words, folder: {"seconds": next(seconds)})

    def stop() -> dict[str, int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_once(tmp_path / "mark.json", ["update"], tmp_path, "a" * 40, stop)
    step = run_once(tmp_path / "mark.json", ["update"], tmp_path, "a" * 40, lambda: {"bundle_bytes": 7})

    assert (step["seconds"], step["bundle_bytes"]) == (1.0, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["mark.json"]


def test_a_figure_names_the_version_of_builds() -> None:
    assert describe_versions()["program"] == PROGRAM

"""Where a build's time goes: wall and CPU seconds of each stage and of each of its steps.

    python -m benchmarks.build_stage_times REPO -o FOLDER --base qwen2.5-coder-0.5b --name NAME

A step begins with a message of the build ("Checking the graph in fp32") and ends with the next one. CPU seconds are of
all threads, user and system; beside other programs only they compare. Writes benchmarks/results/stage-times-NAME.json.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.builds import read_report, write_result
from submodel.extras import prepare_to_build

KEPT = ("models", "against_base", "finetuning", "plan", "parity", "peak_rss_bytes")


def main() -> None:
    """Build and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--minutes", type=float, default=4.5)
    parser.add_argument("--positions", type=int, default=100)
    parser.add_argument("--name", required=True)
    known = parser.parse_args()
    prepare_to_build("build")
    from submodel.build.build_settings import BuildSettings
    from submodel.build.pipeline import run_build

    settings = BuildSettings(
        repository=known.repository,
        output=known.output,
        base=known.base,
        minutes=known.minutes,
        positions=known.positions,
        force=True,
    )
    display = _make_display()
    with display:
        run_build(settings, display)
    report = read_report(known.output)
    command = (
        f"python -m benchmarks.build_stage_times REPO -o FOLDER --base {known.base} "
        f"--minutes {known.minutes:g} --positions {known.positions} --name {known.name}"
    )
    document = {
        "command": command,
        "stages": display.rows,
        **{key: report[key] for key in KEPT if key in report},
    }
    write_result(f"stage-times-{known.name}", document)


def _make_display() -> Any:
    from contract.console import StageDisplay
    from contract.progress import OnProgress

    class TimedDisplay(StageDisplay):
        """Also keeps what each stage and step took."""

        def __init__(self) -> None:
            super().__init__()
            self.rows: list[dict[str, Any]] = []
            self._began: tuple[float, float] = (0.0, 0.0)

        @contextmanager
        def stage(self, name: str) -> Iterator[OnProgress]:
            began = _clocks()
            self.rows.append({"stage": name, "steps": []})
            row = self.rows[-1]
            self._step(row, "")
            with super().stage(name) as advance:
                yield advance
            self._end_step(row)
            row |= _spent(began)

        def say(self, text: str) -> None:
            super().say(text)
            if self.rows and "seconds" not in self.rows[-1]:
                self._end_step(self.rows[-1])
                self._step(self.rows[-1], text)

        def _step(self, row: dict[str, Any], text: str) -> None:
            row["steps"].append({"step": text})
            self._began = _clocks()

        def _end_step(self, row: dict[str, Any]) -> None:
            row["steps"][-1] |= _spent(self._began)

    return TimedDisplay()


def _clocks() -> tuple[float, float]:
    """Wall and CPU seconds of this process and the children that it waited for."""
    times = os.times()
    return time.perf_counter(), times.user + times.system + times.children_user + times.children_system


def _spent(began: tuple[float, float]) -> dict[str, float]:
    wall, cpu = _clocks()
    return {"seconds": round(wall - began[0], 2), "cpu_seconds": round(cpu - began[1], 2)}


if __name__ == "__main__":
    main()

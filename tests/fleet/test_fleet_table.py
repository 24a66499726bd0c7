"""The table of a fleet that runs, and its lines."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from fleet import live_table
from fleet.live_table import FleetPace, make_table, row_line
from fleet.results import Row


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> FleetPace:
    """4 of 10 builds are done after two minutes."""
    now = [1000.0]
    monkeypatch.setattr(live_table, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    made = FleetPace(10)
    made.done, now[0] = 4, 1120.0
    return made


def test_the_rest_takes_as_long_a_build_as_those_before(pace: FleetPace) -> None:
    assert pace.line() == "4 of 10, 2.0 a minute, about 3 min 0 s left"
    pace.done = 1
    assert pace.line() == "1 of 10, 30.0 an hour, about 18 min 0 s left"
    pace.done = 0
    assert pace.line() == "0 of 10"


def test_the_table_shows_the_builds_that_write(pace: FleetPace, tmp_path: Path) -> None:
    logs: dict[str, list[object]] = {
        "billing": [{"kind": "stage", "stage": "finetune", "share": 0.43, "total_seconds_left": 90.0}, "half a li"],
        "silent": [{"kind": "stage", "stage": "prune"}],
        "begins": [{"kind": "message", "text": "hello"}],
    }
    for name, lines in logs.items():
        (tmp_path / name).mkdir()
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (tmp_path / name / "log.jsonl").write_text(text)
    os.utime(tmp_path / "silent" / "log.jsonl", (1, 1))
    rows: list[Row] = [{"name": "a", "source": "a", "state": "built"}, {"name": "b", "source": "b", "state": "failed"}]
    console = Console(file=io.StringIO(), width=80)
    console.print(make_table(rows, pace, tmp_path, ["billing", "silent", "begins", "queued"]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "billing" in shown and "finetune" in shown and "43%" in shown and "1 min 30 s" in shown
    assert "begins" in shown
    assert "silent" not in shown and "queued" not in shown
    assert "1 built, 1 failed; 4 of 10" in " ".join(shown.split())


def test_a_failure_is_a_line_with_its_sentence(pace: FleetPace) -> None:
    row: Row = {"name": "billing", "source": "", "state": "failed", "reason": "There is too little code."}
    assert row_line(row, pace).startswith("billing: failed. There is too little code. (4 of 10")


def test_a_log_of_odd_kind_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b"[]\n\xff\n3\n")
    assert live_table._last_progress(tmp_path / "log.jsonl") == {}

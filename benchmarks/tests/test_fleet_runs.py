"""A fleet on paper, and runs that fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import fleet_runs
from benchmarks.shared_start import facts_of


def test_a_shared_start_of_today_and_one_of_before_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = {"stages": [{"name": "prune", "seconds": 7.0}], "finetuning": {}, "parity": {}, "plan": {}}
    today = facts_of(report | {"peak_rss_bytes": 1})
    starts = {"before": {"seconds": 8.0, "peak_rss_bytes": 1}, "today": today}
    repositories = {name: {"shared start": start} for name, start in starts.items()}
    (tmp_path / "shared-start.json").write_text(json.dumps({"repositories": repositories}))
    (tmp_path / "pull.json").write_text(json.dumps({"adapted": [{"bytes_in_the_registry": 1}] * 2}))
    monkeypatch.setattr(fleet_runs, "RESULTS", tmp_path)

    assert [one["seconds"] for one in fleet_runs.measured_adapted()] == [8.0, 7.0]


def test_a_run_that_fails_has_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "fleet.json").write_text('{"counts": {"built": 9}}')
    monkeypatch.setattr(fleet_runs, "python_module", lambda _: (sys.executable, "-c", "import sys; sys.exit(3)"))

    with pytest.raises(SystemExit, match="ended with 3"):
        fleet_runs.run_fleet(tmp_path, "local")

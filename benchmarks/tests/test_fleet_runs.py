"""A fleet on paper, and runs that fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fleet_runs
from benchmarks.builds import RESULTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """What `paper` writes and prints from the committed results."""
    written: dict[str, Any] = {}
    monkeypatch.setattr(fleet_runs, "write_document", lambda name, document: written.update({name: document}))
    fleet_runs.print_paper()
    return written["fleet-on-paper"], capsys.readouterr().out


def test_the_fleet_on_paper_is_of_today_s_builds_and_on_the_page(paper: tuple[dict[str, Any], str]) -> None:
    document, printed = paper
    assert document == json.loads((RESULTS / "fleet-on-paper.json").read_text("utf-8"))
    page = (ROOT / "docs" / "fleet.md").read_text("utf-8")
    assert printed.replace("|  |", "| |").strip() in page
    whole = document["builds"]
    words = " ".join(page.split())
    stages = f"{min(whole['seconds']):.0f} to {max(whole['seconds']):.0f} s"
    assert f"Their stages (prune, fine-tune, export) took {stages}, and" in words
    took = [
        build["seconds"]
        for path in RESULTS.glob("build-seeds-*-v22.json")
        for build in json.loads(path.read_text("utf-8"))["builds"]
    ]
    assert f"The whole builds took {min(took):.0f} to {max(took):.0f} s." in words
    thousand, many = document["fleets"]
    assert f"{thousand['core_hours_first'] / 8:.0f} hours" in words
    assert f"{many['fetched_a_day_tb'] * 8e3 / fleet_runs.NIGHT_S:.1f} Gbit/s if all" in page
    assert f"bundle ({many['storage_tb']:.0f} TB" in page


def test_a_fleet_grows_with_its_repositories_and_its_builds() -> None:
    measured = {"seconds": [3600.0, 1800.0], "registry_bytes": [1e9]}
    found = fleet_runs._on_paper(1000, measured)
    assert (found["core_hours_first"], found["core_hours_a_day"]) == (1500, 300)
    assert (found["storage_tb"], found["fetched_a_day_tb"]) == (1.0, 0.6)


def test_a_run_that_fails_has_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "fleet.json").write_text('{"counts": {"built": 9}}')
    monkeypatch.setattr(fleet_runs, "python_module", lambda _: (sys.executable, "-c", "import sys; sys.exit(3)"))

    with pytest.raises(SystemExit, match="ended with 3"):
        fleet_runs.run_fleet(tmp_path, "local")

"""`submodel fleet` with builds that are played; started by `benchmarks.fleet_runs driver`.

    python -m benchmarks.fleet_played FOLDER fleet FILE …

In place of each build, the bundle in FOLDER is copied to where a build leaves it, with a report of made-up figures.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from submodel.app import main
from submodel.fleet import fleet_run

FOLDER = Path(sys.argv.pop(1))
ESTIMATE = {"value": 0.1, "low": 0.0, "high": 0.2}
FIGURES = {"positions": 50, "fim_exact_match": 0.5, "bits_per_byte": 1.0}
REPORT = {
    "base": {"name": "played"},
    "models": [FIGURES, FIGURES],
    "against_base": {"sub-model": {"exact_match_difference": ESTIMATE, "bits_per_byte_ratio": ESTIMATE}},
    "is_worse": False,
}


def play(tasks: Any, *, address: str, on_tick: Any, on_event: Any) -> Iterator[tuple[str, Any]]:
    """As `submodel.fleet.cluster.build_on_cluster`."""
    for name, (task, _) in tasks.items():
        on_tick([name])
        build = Path(task.work) / name / "build"
        shutil.copytree(FOLDER / "bundle", build / "bundle")
        (build / "report.json").write_text(json.dumps(REPORT))
        (build / "report.html").write_text("<html>")
        yield name, {"fingerprint": task.fingerprint, "machine": "here", "seconds": 0.0}


setattr(fleet_run, "build_on_cluster", play)  # noqa: B010 - it is not that module's own
main()

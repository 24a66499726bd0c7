"""What people see of a fleet that runs: how many are done, how fast, how long the rest takes, and what is at work."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from fleet.layout import LOG
from fleet.results import STATES, Row
from submodel.console import duration

SHOWN: Final = 12  # builds at work
SILENT_S: Final = 15.0  # a build writes each second while it runs
_LAST_BYTES: Final = 4096


class FleetPace:
    """How fast a fleet goes. total: builds of this run."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started_s = time.monotonic()
        self.done = 0

    def line(self) -> str:
        """Done, a minute, and left; the rest takes as long a build as those before."""
        minutes = max((time.monotonic() - self._started_s) / 60, 1e-9)
        if not self.done:
            return f"0 of {self._total:,}"
        left_s = 60 * minutes * (self._total - self.done) / self.done
        rate = self.done / minutes
        each = f"{rate:.1f} a minute" if rate >= 1 else f"{60 * rate:.1f} an hour"
        return f"{self.done:,} of {self._total:,}, {each}, about {duration(left_s)} left"


def make_table(rows: Sequence[Row], pace: FleetPace, work: Path, pending: Sequence[str]) -> Table:
    """The table of a terminal: the builds at work, and the counts below."""
    table = Table(caption=f"{counts_line(rows)}; {pace.line()}", expand=False)
    for title in ("at work", "stage", "of it", "left in all"):
        table.add_column(title, justify="left" if title in ("at work", "stage") else "right")
    for name in pending:
        progress = _last_progress(work / name / LOG)
        if progress is None:
            continue
        share = f"{progress['share']:.0%}" if "share" in progress else ""
        left = duration(progress["total_seconds_left"]) if "total_seconds_left" in progress else ""
        table.add_row(name, str(progress.get("stage", "")), share, left)
        if table.row_count == SHOWN:
            break
    return table


def counts_line(rows: Sequence[Row]) -> str:
    """How many are in which state."""
    counts = Counter(row["state"] for row in rows)
    return ", ".join(f"{counts[state]:,} {state}" for state in STATES if counts[state])


def row_line(row: Row, pace: FleetPace) -> str:
    """A repository that ended, in a line."""
    if row["state"] == "failed":
        return f"{row['name']}: failed. {row.get('reason', '')} ({pace.line()})"
    result = row["result"]
    quality = result.get("quality")
    exact = (
        f", {quality['exact_match']:.0%} of {quality['positions']} lines exact (base {quality['base_exact_match']:.0%})"
        if quality
        else ""
    )
    return f"{row['name']}: built in {duration(result['seconds'])}{exact} ({pace.line()})"


def _last_progress(log: Path) -> dict[str, Any] | None:
    """The last stage of a build that is at work; None if it is not, or has written none yet."""
    try:
        if time.time() - log.stat().st_mtime > SILENT_S:
            return None
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LAST_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            document = json.loads(line)
        except ValueError:
            continue  # half a line, or one of a library
        if isinstance(document, dict) and document.get("kind") == "stage":
            return document
    return {}

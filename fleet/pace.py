"""What people read while a fleet runs: how many are done, how fast, and how long the rest takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from fleet.results import STATES, Row
from submodel.console import duration


class FleetPace:
    """How fast a fleet goes. total: builds of this run."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started_s = time.monotonic()
        self.done = 0

    def line(self) -> str:
        """How many are done, and how long the rest takes if each build takes as long as those before."""
        if not self.done:
            return f"0 of {self._total:,}"
        left_s = (time.monotonic() - self._started_s) * (self._total - self.done) / self.done
        return f"{self.done:,} of {self._total:,}, about {duration(left_s)} left"


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

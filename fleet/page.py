"""The page of a fleet's results, one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from builder.evaluation.scores import is_better
from submodel.report.render import template


def render_fleet(document: Mapping[str, Any], *, title: str) -> str:
    """HTML from the index of `fleet.fleet_run.run_fleet`, the worst repositories first."""
    rows = sorted(document["repositories"], key=_rank)
    scored = [row["result"]["quality"] for row in rows if "quality" in row.get("result", {})]
    return template("fleet.html.j2", "fleet").render(
        title=title,
        document=document,
        rows=rows,
        scored=scored,
        worse=sum(quality["is_worse"] for quality in scored),
        better=sum(map(is_better, scored)),
        median=lambda key: median(quality[key] for quality in scored),
    )


def _rank(row: Mapping[str, Any]) -> tuple[int, float]:
    """Failures first, then by the lines that the sub-model completes beside its base; those without figures last."""
    if row["state"] == "failed":
        return 0, 0.0
    quality = row.get("result", {}).get("quality")
    return (2, 0.0) if quality is None else (1, quality["exact_match_difference"]["value"])

"""The figures of a replay, and their table: keystrokes saved, suggestions shown and wrong, latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from builder.evaluation.metrics import bootstrap
from submodel.console import print_table

BASELINE = "similar line"  # the name of the model-free row
NO_INTERVAL = "all lines are of one commit or file, so there is no interval"


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """One passage typed. A suggestion is counted once, even if the user goes on typing it."""

    keys_alone: int
    keys: int
    asked: int
    shown: int
    accepted: int
    wrong: int  # shown, but never what was typed
    late: int = 0  # requests that were not answered by the next keystroke
    latencies_ms: tuple[float, ...] = ()  # of each answer


def estimate(figure: Callable[[Sequence[int]], float], count: int, clusters: Sequence[str] = ()) -> dict[str, float]:
    """Return a figure of `count` lines with its 95 % interval, or alone if all of them are of one cluster.

    clusters: the commit, or file, of each line. How much clusters differ can't be seen in one.
    """
    found = bootstrap(figure, count, files=clusters)
    ends = {} if len(set(clusters)) == 1 else {"low": found.low, "high": found.high}
    return {"value": found.value, **ends}


def summarize(name: str, replayed: Sequence[Replayed], clusters: Sequence[str] = ()) -> dict[str, Any]:
    """Return the row that `submodel-lab replay --json` prints; shares of 1, with 95 % intervals over the passages.

    "each" holds the counts of each passage.

    clusters: the commit, or file, of each passage, whose passages are alike.
    """

    def saved(indices: Sequence[int]) -> float:
        alone = sum(replayed[index].keys_alone for index in indices)
        return 1 - sum(replayed[index].keys for index in indices) / alone if alone else 0.0

    def wrong(indices: Sequence[int]) -> float:
        shown = sum(replayed[index].shown for index in indices)
        return sum(replayed[index].wrong for index in indices) / shown if shown else 0.0

    each = {
        field: [getattr(one, field) for one in replayed]
        for field in ("keys_alone", "keys", "asked", "late", "shown", "accepted", "wrong")
    }
    latencies = [latency for one in replayed for latency in one.latencies_ms]
    row: dict[str, Any] = {
        "name": name,
        "passages": len(replayed),
        **{field: sum(values) for field, values in each.items()},
        "each": each,
        "keystrokes_saved": estimate(saved, len(replayed), clusters),
        "shown_and_wrong": estimate(wrong, len(replayed), clusters),
    }
    if latencies:
        row["milliseconds_p50"], row["milliseconds_p95"] = np.percentile(latencies, (50, 95)).round(1).tolist()
    return row


def print_replay(document: Mapping[str, Any]) -> None:
    """Print one row for each run."""
    first = document["runs"][0]
    caption = f"{document['source']}: {first['passages']} passages, {first['keys_alone']} keystrokes"
    if "low" not in first["keystrokes_saved"]:
        caption += f"; {NO_INTERVAL}"
    if document["pace_ms"] is not None:
        caption += f"; a keystroke every {document['pace_ms']} ms"
    table = Table(caption=caption)
    table.add_column("")
    late = ("too late",) if document["pace_ms"] is not None else ()
    titles = ("keystrokes saved\n(95 %)", "shown", "accepted", "shown and wrong\n(95 %)", *late, "ms p50", "ms p95")
    for title in titles:
        table.add_column(title, justify="right")
    for row in document["runs"]:
        table.add_row(
            row["name"],
            _share(row["keystrokes_saved"]),
            str(row["shown"]),
            str(row["accepted"]),
            _share(row["shown_and_wrong"]),
            *((f"{row['late'] / row['asked']:.0%}" if row["name"] != BASELINE else "–",) if late else ()),
            *(f"{row[key]:.0f}" if key in row else "–" for key in ("milliseconds_p50", "milliseconds_p95")),
        )
    print_table(table)


def _share(interval: Mapping[str, float]) -> str:
    share = f"{interval['value']:.1%}"
    return f"{share} ({interval['low']:.0%}–{interval['high']:.0%})" if "low" in interval else share

"""The table that `submodel replay` ends with, on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from contract.console import print_table


def print_replay(document: Mapping[str, Any]) -> None:
    """One row a run."""
    first = document["runs"][0]
    table = Table(caption=f"{document['source']}: {first['passages']} passages, {first['keys_alone']} keys")
    table.add_column("")
    for title in ("keys saved\n(95 %)", "shown", "accepted", "shown and wrong\n(95 %)", "ms p50", "ms p95"):
        table.add_column(title, justify="right")
    for row in document["runs"]:
        table.add_row(
            row["name"],
            _share(row["keystrokes_saved"]),
            str(row["shown"]),
            str(row["accepted"]),
            _share(row["shown_and_wrong"]),
            *(f"{row[key]:.0f}" if key in row else "–" for key in ("milliseconds_p50", "milliseconds_p95")),
        )
    print_table(table)


def _share(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.1%} ({interval['low']:.0%}–{interval['high']:.0%})"

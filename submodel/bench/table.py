"""The table of engines, on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from submodel.console import console


def print_bench(document: Mapping[str, Any]) -> None:
    """Engines side by side; behind each peer's figures, how many times the first engine is as good."""
    counts = (f"{document[what]} {what}" for what in ("passages", "lines", "keystrokes"))
    table = Table(caption=f"Typed: {', '.join(counts)}; in brackets how many times submodel is as good")
    table.add_column("")
    speeds = ("prompt tokens/s", "decode tokens/s")
    for title in (
        *speeds,
        "keystroke p50, ms",
        "p95, ms",
        "new place p50, ms",
        "memory",
        "exact match",
        "same answers",
    ):
        table.add_column(title, justify="right")
    for engine in document["engines"]:
        ratio = document["ratios"].get(engine["name"], {})
        table.add_row(
            engine["name"],
            _with(f"{engine['prompt_tokens_per_s']:.0f}", ratio.get("prompt")),
            _with(f"{engine['decode_tokens_per_s']:.0f}", ratio.get("decode")),
            _with(f"{engine['completion_ms_p50']:.0f}", ratio.get("completion_p50")),
            _with(f"{engine['completion_ms_p95']:.0f}", ratio.get("completion_p95")),
            _with(f"{engine['new_place_ms_p50']:.0f}", ratio.get("new_place_p50")),
            _with(f"{engine['resident_bytes'] / 1e6:.0f} MB", ratio.get("memory")),
            f"{engine['exact_match']:.1%}{_lead(document['leads'].get(engine['name']))}",
            f"{engine['same_answers']:.1%}",
        )
    console.print(table)


def _lead(lead: Mapping[str, float] | None) -> str:
    """In points, with its interval."""
    return "" if lead is None else f" ({lead['value']:+.1%}: {lead['low']:+.1%} to {lead['high']:+.1%})"


def _with(figure: str, ratio: float | None) -> str:
    return figure if ratio is None else f"{figure} ({ratio:.1f}×)"

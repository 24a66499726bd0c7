"""The tables of engines, on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from laboratory.replay.figures import NO_INTERVAL
from submodel.console import print_table

SPEED = {
    "prompt characters/s": ("prompt_characters_per_s", "prompt"),
    "decode tokens/s": ("decode_tokens_per_s", "decode"),
}
TYPING = {
    "keystroke p50, ms": ("completion_ms_p50", "completion_p50"),
    "p95, ms": ("completion_ms_p95", "completion_p95"),
    "new place p50, ms": ("new_place_ms_p50", "new_place_p50"),
}


def print_bench(document: Mapping[str, Any]) -> None:
    """Print two tables of the engines; one would be wider than a terminal.

    Behind each peer's speeds and times stands how many times the first engine is as fast, behind its memory the first
    engine's as a multiple of it.
    """
    counts = (f"{document[what]} {what}" for what in ("passages", "lines", "keystrokes"))
    speed = _table([*SPEED, "memory"])
    typing = _table([*TYPING, "exact match", "same answers"])
    typing.caption = (
        f"Typed: {', '.join(counts)} of {document['source']}; in brackets submodel's speed or memory as a multiple; "
        "a decode token of a cut vocabulary may be shorter"
    )
    if any("low" not in lead for lead in document["leads"].values()):
        typing.caption += f"; {NO_INTERVAL}"
    blind = [engine["name"] for engine in document["engines"] if not engine.get("reads_suffix", True)]
    if blind:
        typing.caption += f"; without what stands behind the cursor, which its model can't read: {', '.join(blind)}"
    for engine in document["engines"]:
        name = engine["name"]
        ratios = document["ratios"].get(name, {})
        memory = _with(f"{engine['resident_bytes'] / 1e6:.0f} MB", ratios.get("memory"))
        match = f"{engine['exact_match']:.1%}{_lead(document['leads'].get(name))}"
        speed.add_row(escape(name), *_figures(engine, ratios, SPEED), memory)
        typing.add_row(escape(name), *_figures(engine, ratios, TYPING), match, f"{engine['same_answers']:.1%}")
    for table in (speed, typing):
        print_table(table)


def _table(titles: Iterable[str]) -> Table:
    table = Table()
    table.add_column("")
    for title in titles:
        table.add_column(title, justify="right")
    return table


def _figures(
    engine: Mapping[str, Any], ratios: Mapping[str, float], columns: Mapping[str, tuple[str, str]]
) -> list[str]:
    return [_with(f"{engine[figure]:.0f}", ratios.get(ratio)) for figure, ratio in columns.values()]


def _lead(lead: Mapping[str, float] | None) -> str:
    """Return a difference in percentage points, with its interval if it has one."""
    if lead is None:
        return ""
    interval = f": {lead['low']:+.1%} to {lead['high']:+.1%}" if "low" in lead else ""
    return f" ({lead['value']:+.1%}{interval})"


def _with(figure: str, ratio: float | None) -> str:
    return figure if ratio is None else f"{figure} ({ratio:.1f}×)"

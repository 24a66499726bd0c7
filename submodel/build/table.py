"""The one table at the end of a build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from submodel.console import console


def print_table(document: Mapping[str, Any]) -> None:
    """Base, sub-model and bundle side by side, and where the files are; on stderr."""
    scored = [row for row in document["models"] if "positions" in row]
    if scored:
        table = Table(caption=f"held-out files of the repository, {scored[0]['positions']} lines completed")
        table.add_column("")
        for title in ("parameters", "bytes", "bits per byte", "exact match (95 %)", "edit similarity"):
            table.add_column(title, justify="right")
        for row in document["models"]:
            if row not in scored:
                table.add_row(row["name"], f"{row['parameters'] / 1e6:.0f} M", f"{row['bytes'] / 1e6:.0f} MB")
                continue
            low, high = row["fim_exact_match_interval"]
            table.add_row(
                row["name"],
                f"{row['parameters'] / 1e6:.0f} M",
                f"{row['bytes'] / 1e6:.0f} MB",
                f"{row['bits_per_byte']:.3f}",
                f"{row['fim_exact_match']:.1%} ({low:.0%}–{high:.0%})",
                f"{row['fim_edit_similarity']:.3f}",
            )
        console.print(table)
    for name, figures in document.get("against_base", {}).items():
        console.print(f"{name} against base: {_told(figures)}.")
    for name, path in document["paths"].items():
        console.print(f"{name:>8}  {path}", highlight=False, soft_wrap=True)
    console.print(f"Built in {document['seconds']:.0f} s. Open your editor, or try `submodel complete FILE`.")


def _told(figures: Mapping[str, Any]) -> str:
    """The comparison in a line, with its 95 % intervals."""
    difference = figures["exact_match_difference"]
    told = [
        f"exact match {100 * difference['value']:+.1f} points "
        f"({100 * difference['low']:+.1f} to {100 * difference['high']:+.1f})"
    ]
    if ratio := figures.get("bits_per_byte_ratio"):
        told.append(f"bits per byte {ratio['value'] - 1:+.1%} ({ratio['low'] - 1:+.1%} to {ratio['high'] - 1:+.1%})")
    return ", ".join(told)

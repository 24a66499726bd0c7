"""The table of models that `build` and `eval` end with, on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from builder.bases.resolve import SECOND_CHOICE
from builder.evaluation.wording import compared
from contract.bundle.bundle import WORKSPACE_BUNDLE
from contract.children import shell_line
from submodel.console import console, print_table


def print_build(document: Mapping[str, Any]) -> None:
    """Base and sub-model side by side, and where the files are."""
    print_scores(document)
    if document.get("is_worse"):
        console.print(
            "This sub-model is significantly worse than its base. It is served all the same. A larger --size or more "
            "--minutes may make a better one.",
            style="yellow",
        )
    base, why = document["base"], str(document["base"].get("why", ""))
    if why.startswith(SECOND_CHOICE):
        console.print(
            f"The base is {base['name']}: {why.removesuffix('.')}. Build again once the better one can be fetched.",
            style="yellow",
            highlight=False,
            markup=False,
        )
    for name, path in document["paths"].items():
        console.print(f"{name:>8}  {path}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Built in {document['seconds']:.0f} s. {_next_step(Path(document['paths']['bundle']))}")


def _next_step(bundle: Path) -> str:
    place = "--line 10 --character 8"
    if bundle.parts[-2:] == WORKSPACE_BUNDLE.parts:
        return f"Open your editor, or try `submodel complete FILE {place}` (both count from 0)."
    named = shell_line(["--bundle", str(bundle)])
    return (
        f"No editor finds a bundle there: start the server with `submodel serve {named}`, or try "
        f"`submodel complete FILE {place} {named}` (both count from 0)."
    )


def print_scores(document: Mapping[str, Any]) -> None:
    """The models, the model-free baselines, and how the models compare; nothing where none was scored."""
    scored = [row for row in document["models"] if "positions" in row]
    if not scored:
        return
    table = Table("")
    titles = ["params", "size", "bits", "right lines", "95 %", "similar"]
    has_blocks = "multi_line_positions" in scored[0]
    for title in titles + ["right blocks"] * has_blocks:
        table.add_column(title, justify="right")
    for row in [*document["models"], *document.get("baselines", ())]:
        table.add_row(*_cells(row), *([_blocks(row)] if has_blocks else []))
    print_table(table)
    notes = [f"{scored[0]['positions']} lines of held-out files. bits: per byte. similar: edit similarity, at most 1."]
    if any(row["name"] == "base" for row in scored):
        notes.append("A published base is asked with llama.vscode's window. Bits are of whole snippets.")
    for note in notes:
        console.print(note, highlight=False)
    for name, figures in document.get("against_base", {}).items():
        console.print(f"{name} against {scored[0]['name']}: {compared(figures)}.", highlight=False, markup=False)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    sizes = (
        escape(row["name"]),
        f"{row['parameters'] / 1e6:.0f} M" if "parameters" in row else "",
        f"{row['bytes'] / 1e6:.0f} MB" if "bytes" in row else "",
        f"{row['bits_per_byte']:.3f}" if "bits_per_byte" in row else "",
    )
    if "positions" not in row:
        return (*sizes, "", "", "")
    low, high = row["fim_exact_match_interval"]
    return (*sizes, f"{row['fim_exact_match']:.1%}", f"{low:.0%}–{high:.0%}", f"{row['fim_edit_similarity']:.2f}")


def _blocks(row: Mapping[str, Any]) -> str:
    if "multi_line_positions" not in row:
        return ""
    return f"{row['fim_multi_line_exact_match']:.1%}"

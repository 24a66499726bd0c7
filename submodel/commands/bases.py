"""`submodel bases`: the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer


def bases(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the known base models, where each can be had, and whether it is here already."""
    from rich.console import Console
    from rich.table import Table

    from builder.bases.catalogue import AUTO_ORDER, CATALOGUE, cache_folder
    from builder.bases.resolve import is_cached
    from submodel.console import print_json

    automatic = [entry.name for entry in AUTO_ORDER]
    rows = [
        {
            "name": entry.name,
            "parameters": entry.parameters,
            "licence": entry.licence,
            "fim": entry.is_fim,
            "sources": entry.sources,
            "cached": is_cached(entry, cache_folder()),
            "auto": automatic.index(entry.name) + 1 if entry.name in automatic else None,
        }
        for entry in CATALOGUE.values()
    ]
    if as_json:
        print_json({"bases": rows})
        return
    table = Table()
    for title in ("name", "parameters", "licence", "fill-in-the-middle", "from", "cached"):
        table.add_column(title)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['parameters'] / 1e6:,.0f} M",
            row["licence"],
            "yes" if row["fim"] else "no",
            "\n".join(row["sources"]),
            "yes" if row["cached"] else "no",
        )
    Console().print(table)

"""`submodel bases`: the catalogue."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def bases(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the known base models, where each is available, and whether it is here already."""
    from rich.console import Console
    from rich.table import Table

    from submodel.extras import prepare_to_build

    prepare_to_build("bases")
    from builder.bases.catalogue import AUTO_ORDER, CATALOGUE, cache_folder
    from builder.bases.hub import is_cached
    from contract.console import print_json, print_table

    automatic = [entry.name for entry in AUTO_ORDER]
    rows: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "parameters": entry.parameters,
            "licence": entry.licence,
            "fim": entry.is_fim,
            "hub_id": entry.hub_id,
            "bytes": entry.packaged.size if entry.packaged else entry.hub_bytes,
            "sources": ["model hub", "package index"] if entry.packaged else ["model hub"],
            "packaged_form": entry.packaged_form or None,
            "cached": is_cached(entry, cache_folder()),
            "auto": automatic.index(entry.name) + 1 if entry.name in automatic else None,
        }
        for entry in CATALOGUE.values()
    ]
    if as_json:
        print_json({"bases": rows})
        return
    table = Table()
    for title in ("name", "parameters (file)", "licence", "fills in the middle", "from", "cached"):
        table.add_column(title)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['parameters'] / 1e6:,.0f} M\n({row['bytes'] / 1e6:,.0f} MB)",
            row["licence"],
            "yes" if row["fim"] else "no",
            ", ".join(row["sources"]) + (f" ({row['packaged_form']})" if row["packaged_form"] else ""),
            "yes" if row["cached"] else "no",
        )
    print_table(table, Console())

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
    from submodel.console import print_json, print_table

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
    table = Table("name")
    for title in ("parameters", "file", "licence", "FIM", "cached"):
        table.add_column(title, justify="right" if title in ("parameters", "file") else "left")
    for row in rows:
        size = (f"{row['parameters'] / 1e6:,.0f} M", f"{row['bytes'] / 1e6:,.0f} MB")
        flags = ("yes" if row[key] else "no" for key in ("fim", "cached"))
        table.add_row(row["name"], *size, row["licence"], *flags)
    print_table(table, Console())
    typer.echo("FIM: it was trained to fill in the middle. All come from the model hub.")
    for row in rows:
        if row["packaged_form"]:
            typer.echo(f"Without a hub, pip fetches {row['name']} ({row['packaged_form']}).")

"""`submodel trust`: let this account's servers load a bundle that it did not build."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer


def trust(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A bundle's folder, or a repository's. Default: that from here up.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Trust a bundle that another account built: check its files and let `serve` load it as long as it stays as it is.

    A bundle is as good as a program of whoever built it. What this account builds, exports or unpacks is trusted.
    """
    from exporters.bundle import MANIFEST_FILE, find_bundle, read_bundle
    from exporters.trust import trust_build

    named = folder.absolute()
    bundle = read_bundle(named if (named / MANIFEST_FILE).is_file() else find_bundle(named))
    written = datetime.fromtimestamp((bundle.folder / MANIFEST_FILE).stat().st_mtime).astimezone()
    facts = {
        "bundle": str(bundle.folder),
        "build": bundle.build,
        "written": written.isoformat(timespec="seconds"),
        **_facts(bundle.manifest),
    }
    for name, value in facts.items():
        typer.echo(f"{name:>12}  {_plain(value)}", err=True)
    trust_build(bundle.build)
    typer.echo("All files are as its bundle.json says; servers of this account load it from now on.", err=True)
    if as_json:
        from submodel.console import print_json

        print_json(facts)


def _facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the bundle says of itself."""
    texts = [*manifest.get("learned_sha256", ()), *manifest.get("held_out_sha256", ())]
    return {
        "base": manifest.get("base", {}).get("name"),
        "parameters": manifest.get("parameters"),
        "texts": len(texts) or None,  # that its build has read
        "files": len(manifest["files"]),
        "bytes": sum(one["bytes"] for one in manifest["files"].values()),
    }


def _plain(value: Any) -> str:
    from submodel.console import printable

    return printable(f"{value:,}" if type(value) is int else "unknown" if value is None else str(value))

"""`submodel trust`: let this account's servers load a bundle that it did not build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer


def trust(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", help="A bundle's folder, or a repository's. Default: the nearest one from this folder up."
        ),
    ] = None,
    build: Annotated[
        str | None,
        typer.Option(
            metavar="SHA256", help="Refuse any other build: the SHA-256 of the bundle.json that you looked at."
        ),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Take it off the list instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Trust a bundle that another account built: check its files and let `serve` load it as long as it stays as it is.

    A bundle is as good as a program of whoever built it. What this account builds, exports, unpacks or pulls
    is trusted.
    """
    from contract.bundle.bundle import WORKSPACE_BUNDLE, find_bundle, is_workspace_link, read_bundle
    from contract.bundle.manifest import MANIFEST_FILE, build_of
    from contract.bundle.previous import built_at
    from contract.bundle.trusted_builds import forget_build, trust_build
    from contract.errors import BundleError
    from contract.plain_text import plain
    from submodel.console import print_json

    named = (folder or Path()).absolute()
    own = named / WORKSPACE_BUNDLE  # what a server finds; an archive may have brought another one along
    if (own / MANIFEST_FILE).is_file():
        if is_workspace_link(named):
            raise BundleError(f"{own} is a link, which no server follows; name the folder that it leads to.")
        place = own
    elif folder is not None or (named / MANIFEST_FILE).is_file():
        place = named  # nothing above a folder that was named is meant
    else:
        place = find_bundle(named)
    found = build_of(place)
    if build is not None and found != build.lower():
        raise BundleError(
            f"{place} holds the build {found}, not the one that you named; look at its bundle.json again."
        )
    if forget:
        was_trusted = forget_build(found)
        done = "is off the list; servers refuse it within seconds, unless their command line names it"
        typer.echo(plain(f"{place} {done if was_trusted else 'was not on the list'}."), err=True)
        if as_json:
            print_json({"bundle": str(place), "build": found, "was_trusted": was_trusted})
        return
    bundle = read_bundle(place)
    if bundle.build != found:
        raise BundleError(f"{place} was replaced meanwhile; look at it again.")
    written = built_at(bundle.folder).astimezone()
    facts = {
        "bundle": str(bundle.folder),
        "build": bundle.build,
        "written": written.isoformat(timespec="seconds"),
        **_facts(bundle.manifest),
    }
    for name, value in facts.items():
        typer.echo(f"{name:>12}  {plain(_worded(value))}", err=True)
    trust_build(bundle.build)
    typer.echo("All files are as its bundle.json says; servers of this account load it from now on.", err=True)
    if as_json:
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


def _worded(value: Any) -> str:
    return f"{value:,}" if type(value) is int else "unknown" if value is None else str(value)

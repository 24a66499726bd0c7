"""`submodel pull`: this repository's bundle from a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pull(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="ADDRESS",
            help="The registry: an https:// or file:// address, or a folder. Default: the one of the last --key.",
        ),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Argument(
            metavar="REPO",
            help="The repository's folder, or one below it. With --repository: exactly this folder, such as a "
            "package of a larger repository.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The registry's public key, 64 hexadecimal digits, from the people who publish it. Kept for later "
            "runs, with the address.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--repository",
            metavar="NAME",
            help="The repository's name in the registry, such as github.com/acme/app. Default: from its git remotes.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fetch this repository's bundle from a registry, check it, and serve it from now on.

    It is trusted if its signature is right, as if this account had built it. What was there stays until the new bundle
    is whole. It is kept as the previous one if its model is another.
    """
    from dataclasses import asdict

    from contract.plain_text import plain
    from submodel.console import StageDisplay, print_json
    from submodel.registry.pull_run import PullSettings, run_pull

    settings = PullSettings(folder=repository, address=address, key=key, name=name)
    with StageDisplay() as display, display.stage("pull") as advance:
        pulled = run_pull(settings, advance, display.say)
    what = f"{pulled.bundle_bytes:,} bytes, {pulled.fetched_bytes:,} of them fetched"
    sentence = (
        f"The bundle of {pulled.repository} is in {pulled.bundle} ({what})"
        if pulled.state == "pulled"
        else f"The bundle of {pulled.repository} in {pulled.bundle} is the newest one"
    )
    date = "" if pulled.published_at is None else f", published on {pulled.published_at[:10]}"
    typer.echo(plain(f"{sentence}{date}."), err=True)
    if as_json:
        print_json({**asdict(pulled), "bundle": str(pulled.bundle)})

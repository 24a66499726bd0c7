"""`submodel-fleet publish`: bundles into a registry, a folder from which others pull."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer


def publish(
    registry: Annotated[Path, typer.Option("--to", metavar="DIR", help="The registry's folder.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The registry's private key: a PEM file, Ed25519.")],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="A bundle, a repository after its build, or a folder of such."),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Begin a registry in a new folder, and make the key if there is none.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--repository",
            metavar="NAME",
            help="The repository's name in the registry, such as github.com/acme/app. Default: from its git remote.",
        ),
    ] = None,
    drafts: Annotated[
        bool,
        typer.Option(help="Include the drafts: the repository's own code as tokens, which make completions faster."),
    ] = True,
    valid_days: Annotated[
        float, typer.Option(metavar="DAYS", min=0.01, max=3650, help="How long the index is accepted without renewal.")
    ] = 30.0,
    remove: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Take this repository's bundle out of the index instead, such as github.com/acme/app. Its files stay "
            "in the folder. Without FOLDER.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Put bundles into a registry, which any web server or disk can hold, and sign its index.

    Of a folder of repositories or of results, each bundle is published; one that can't be is reported, and the exit
    code is 1.
    """
    from contract.errors import SubmodelError
    from contract.plain_text import plain
    from submodel.console import StageDisplay, print_json
    from submodel.extras import install_advice

    if importlib.util.find_spec("cryptography") is None:
        line = install_advice("publish")
        raise SubmodelError(f"`submodel-fleet publish` needs cryptography to sign. Add it with: {line}")
    if (folder is None) == (remove is None):
        raise typer.BadParameter("give either FOLDER or --remove NAME")
    if remove is not None and (new or name is not None or not drafts):
        raise typer.BadParameter("--remove goes without --new, --repository and --no-drafts")
    from fleet.publishing.publish_run import PublishSettings, run_publish, run_remove

    if folder is None:
        assert remove is not None
        with StageDisplay() as display:
            public_key, removed = run_remove(remove, registry, key, valid_days, display.say)
        typer.echo(plain(f"{removed}: removed"), err=True)
        typer.echo(
            "Its files stay in the registry's folder, and its bundle where it was pulled. Publishing that bundle again "
            "puts the name back.",
            err=True,
        )
        if as_json:
            print_json({"key": public_key, "registry": str(registry), "bundles": [], "removed": removed})
        return
    settings = PublishSettings(
        folder=folder, registry=registry, key_file=key, is_new=new, name=name, drafts=drafts, valid_days=valid_days
    )
    with StageDisplay() as display, display.stage("publish") as advance:
        public_key, rows = run_publish(settings, advance, display.say)
    for row in rows:
        size = f" ({row.written_bytes:,} new bytes)" if row.state == "published" else ""
        typer.echo(plain(f"{row.repository or row.bundle}: {row.error or row.state}{size}"), err=True)
    if any(row.has_drafts for row in rows):
        typer.echo(
            "The repositories' own code goes along, as tokens (`submodel-fleet publish --no-drafts` leaves it out). "
            "Whoever can read the registry can read it.",
            err=True,
        )
    if not new or any(row.state != "failed" for row in rows):  # else the registry has no index
        typer.echo(f"Pull with: submodel pull ADDRESS --key {public_key}", err=True)
    if as_json:
        bundles = [
            {name: value for name, value in {**vars(row), "bundle": str(row.bundle)}.items() if value is not None}
            for row in rows
        ]
        print_json({"key": public_key, "registry": str(registry), "bundles": bundles})
    if any(row.state == "failed" for row in rows):
        raise typer.Exit(1)

"""`submodel-fleet build`: the sub-models of many repositories, on a Ray cluster or this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer


def build(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The repositories and their settings, in TOML.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Output: a folder per repository, an index and a page. All machines must reach it.",
        ),
    ] = Path("fleet"),
    ray: Annotated[
        str, typer.Option(metavar="ADDRESS", help="A Ray cluster: auto, HOST:PORT, or local for this machine alone.")
    ] = "local",
    as_json: Annotated[bool, typer.Option("--json", help="Print the index, DIR/fleet.json, on stdout.")] = False,
) -> None:
    """Build many repositories. What has not changed since its last build is kept, and unfinished builds resume.

    A repository that fails is reported, and the others are built; the exit status is then 1.
    """
    from contract.errors import SubmodelError
    from submodel.extras import install_advice, prepare_to_build

    prepare_to_build("build", "submodel-fleet")
    missing = [name for name in ("msgspec", "ray") if importlib.util.find_spec(name) is None]
    if missing:
        raise SubmodelError(
            f"`submodel-fleet build` needs {' and '.join(missing)}; install them with: {install_advice('build,fleet')}"
        )
    from fleet.fleet_run import FleetSettings, is_complete, run_fleet
    from fleet.layout import PAGE
    from fleet.pace import counts_line
    from fleet.results import worse_than_base
    from submodel.console import StageDisplay, console, print_json

    with StageDisplay() as display:
        document = run_fleet(FleetSettings(file=file, output=output, ray=ray), display)
    console.print(f"Repositories: {counts_line(document['repositories'])}.", highlight=False, markup=False)
    if worse := worse_than_base(document["repositories"]):
        console.print(f"Worse than their base: {worse:,}; the page shows them first.", highlight=False, markup=False)
    for row in document["repositories"]:
        if row["state"] == "failed":
            console.print(f"{row['name']}: {row['reason']}", style="yellow", highlight=False, markup=False)
    console.print(f"Written: {output / PAGE}", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print_json(document)
    if not is_complete(document):
        raise typer.Exit(1)

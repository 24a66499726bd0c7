"""`submodel-lab compare`: which parts of their base several pruned models keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    models: Annotated[list[Path], typer.Argument(metavar="A B…", help="Folders of `submodel-lab prune`, of one base.")],
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.svg", dir_okay=False, help="Write the distances as a picture."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated random masks.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare what pruned models keep of their base: Jaccard distances beside chance and beside another seed."""
    from submodel.extras import prepare_to_build

    prepare_to_build("compare", "submodel-lab")
    from contract.files.whole_files import check_no_device, write_text
    from laboratory.experiments.compare_run import run_compare
    from laboratory.experiments.pictures import draw_regions
    from laboratory.experiments.tables import regions_table
    from submodel.console import StageDisplay, console, print_json, print_table

    if picture is not None:
        check_no_device(picture, "--picture")
    with StageDisplay() as display, display.stage("compare") as advance:
        document = run_compare(models, seed=seed, on_progress=advance)
    for table in regions_table(document):
        print_table(table)
    if as_json:
        print_json(document)
    if picture is not None:
        write_text(picture, draw_regions(document))
        console.print(f"Picture: {picture}", highlight=False, markup=False, soft_wrap=True)

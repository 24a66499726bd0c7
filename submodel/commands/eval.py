"""`submodel eval`: how good base and sub-model are on held-out files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    repository: Annotated[Path, typer.Argument(metavar="REPO", help="The repository. Default: this folder.")] = Path(),
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="base|sub-model|DIR",
            help="What to score: the base, the bundle in .submodel, or a checkpoint or bundle; repeat it for several. "
            "Default: the first two.",
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="NAME|HUB_ID|FOLDER|FILE.gguf", help="Default: that of the sub-model.")
    ] = None,
    positions: Annotated[int, typer.Option(min=1, help="Held-out lines to complete.")] = 200,
    blocks: Annotated[int, typer.Option(min=0, help="Held-out blocks of 2 to 6 lines to complete.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the positions.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Score models on files that no build learned from; the first is what the others are compared with."""
    from submodel.extras import prepare_to_build

    prepare_to_build("eval")
    from submodel.console import StageDisplay, print_json
    from submodel.evaluation.evaluation_run import EvalSettings, run_evaluation
    from submodel.scores_table import print_scores

    settings = EvalSettings(
        repository=repository,
        models=tuple(models or ()),
        base=base,
        positions=positions,
        blocks=blocks,
        seed=seed,
    )
    with StageDisplay() as display:
        document = run_evaluation(settings, display)
    print_scores(document)
    if as_json:
        print_json(document)

"""`submodel eval`: how good base and sub-model are on held-out files."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import EvaluationError


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
    humaneval: Annotated[
        bool, typer.Option("--humaneval", help="General ability: HumanEval, and single lines of it filled in.")
    ] = False,
    functional: Annotated[
        bool,
        typer.Option("--functional", help="Let each model write functions, and the repository's own tests judge."),
    ] = False,
    python: Annotated[
        str | None, typer.Option(help="With --functional: the interpreter that has what the tests need.")
    ] = None,
    test_command: Annotated[
        str | None, typer.Option(help="With --functional: another command than `python -m pytest -x`.")
    ] = None,
    unsafe_programs: Annotated[
        bool,
        typer.Option(
            "--unsafe-programs",
            help="Run programs even where the system grants no namespaces; only for a throw-away container.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the positions.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Score models on files that no build learned from; the first is what the others are compared with."""
    if (python is not None or test_command is not None) and not functional:
        raise EvaluationError("--python and --test-command belong to --functional; give it too.")
    if python is not None and test_command is not None:
        raise EvaluationError("--python runs pytest, and --test-command is another command; leave one of them out.")
    if unsafe_programs and not (functional or humaneval):
        raise EvaluationError("--unsafe-programs belongs to --functional and --humaneval; give one of them too.")
    try:
        words = tuple(shlex.split(test_command or ""))
    except ValueError as error:
        raise EvaluationError(f"--test-command {test_command!r} can't be read ({error}); close its quotes.") from error

    from submodel.extras import prepare_to_build

    prepare_to_build("eval")
    from contract.console import StageDisplay, print_json
    from laboratory.programs.functional import FunctionalSettings
    from submodel.evaluation.evaluation_run import EvalSettings, run_evaluation
    from submodel.scores_table import print_scores

    settings = EvalSettings(
        repository=repository,
        models=tuple(models or ()),
        base=base,
        positions=positions,
        blocks=blocks,
        seed=seed,
        humaneval=humaneval,
        unsafe_programs=unsafe_programs,
        functional=FunctionalSettings(python=python or sys.executable, test_command=words) if functional else None,
    )
    with StageDisplay() as display:
        document = run_evaluation(settings, display)
    print_scores(document)
    if as_json:
        print_json(document)
    if "failed" in document:
        raise typer.Exit(1)

"""`submodel build`: a repository to a sub-model and its bundle."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ProgressForm(StrEnum):
    """How progress is shown on stderr."""

    AUTO = "auto"  # bars on a terminal, elsewhere plain lines
    JSON = "json"  # a document a line, `contract.documents.BuildProgress`


PROGRESS_HELP = "How progress is shown on stderr: auto, or json for one document a line."


def build(
    repository: Annotated[Path, typer.Argument(metavar="REPO", help="The repository. Default: this folder.")] = Path(),
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Default: .submodel in the repository.")
    ] = None,
    base: Annotated[
        str,
        typer.Option(
            metavar="auto|NAME|HUB_ID|FOLDER|FILE.gguf",
            help="The base model; `submodel bases` lists the known names.",
        ),
    ] = "auto",
    size: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the base's parameters to keep; 1 prunes nothing.")
    ] = 0.6,
    minutes: Annotated[float, typer.Option(help="Minutes of fine-tuning on the repository; 0 only prunes.")] = 4.5,
    quantize: Annotated[
        str,
        typer.Option(help="Precision of the bundle: int8, fp32 or fp16."),
    ] = "int8",
    positions: Annotated[int, typer.Option(min=0, help="Held-out lines to score on; 0 scores nothing.")] = 50,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of all sampling.")] = 0,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Repeat the stages that an earlier build finished. If such a build is stopped, resume it without this "
            "option.",
        ),
    ] = False,
    progress: Annotated[ProgressForm, typer.Option(help=PROGRESS_HELP)] = ProgressForm.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Build a smaller model of a repository, and the bundle that an editor's language server runs."""
    from submodel.extras import prepare_to_build

    prepare_to_build("build")
    from builder.bases.resolve import check_spec
    from builder.pruning.plan import SizeSettings
    from contract.repository.texts import check_no_home, real_folder

    # What can be refused before torch is imported, which takes seconds.
    SizeSettings(size=size)
    check_spec(base)
    real_folder(repository)
    check_no_home(repository)

    from submodel.build.build_settings import BuildSettings
    from submodel.build.pipeline import run_build
    from submodel.console import StageDisplay, console, print_json
    from submodel.scores_table import print_build

    settings = BuildSettings(
        repository=repository,
        output=output or repository / ".submodel",
        base=base,
        size=size,
        minutes=minutes,
        quantize=quantize,
        positions=positions,
        seed=seed,
        force=force,
    )
    with StageDisplay(as_json=progress is ProgressForm.JSON) as display:
        document = run_build(settings, display)
    if progress is ProgressForm.JSON:
        with console.capture() as table:
            print_build(document)
        display.say(table.get())
    else:
        print_build(document)
    if as_json:
        print_json(document)

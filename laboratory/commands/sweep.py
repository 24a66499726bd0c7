"""`submodel-lab sweep`: quality over the pruning ratio, for methods, datasets and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laboratory.commands.prune import CALIBRATION_HELP


def sweep(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder of the points.")],
    repository: Annotated[
        Path | None, typer.Argument(metavar="REPO", help="A repository to calibrate and measure on.")
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="magnitude, wanda, sparsegpt or structured; repeat it. Default: wanda."),
    ] = None,
    sparsity: Annotated[
        str, typer.Option(metavar="START:END:STEP", help="The ratios, both ends in; or a list such as 0.3,0.5.")
    ] = "0.1:0.7:0.1",
    languages: Annotated[
        list[str] | None,
        typer.Option("--language", help="Calibrate and measure on a language's packages; repeat it for several."),
    ] = None,
    calibration: Annotated[
        list[str] | None,
        typer.Option("--calibration", metavar="DATASET", help=f"The same for any dataset. {CALIBRATION_HELP}"),
    ] = None,
    mixed: Annotated[bool, typer.Option("--mixed", help="Also calibrate on a mixture of all datasets.")] = False,
    seeds: Annotated[list[int] | None, typer.Option("--seed", min=0, help="Repeat it for several. Default: 0.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Calibration tokens of each point.")] = 24_576,
    prompt_format: Annotated[
        str, typer.Option(help="prompt: what the server sends; plain: plain text, as in the papers.")
    ] = "prompt",
    base: Annotated[str, typer.Option(metavar="auto|NAME|HUB_ID|FOLDER|FILE.gguf", help="The base model.")] = "auto",
    excerpts: Annotated[int, typer.Option(min=1, help="Held-out snippets to score per dataset.")] = 24,
    middles: Annotated[
        int, typer.Option(min=0, help="Line ends to score per dataset, each with the text around it.")
    ] = 32,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, or auto for what is fastest here.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each point. Default: the cores over --jobs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure quality over the pruning ratio. An interrupted run resumes; each point is a file in DIR/points.

    Points that a method refuses, such as a size that it can't reach, are reported and left out; where others are
    missing or none is left, the exit status is 1.
    """
    from submodel.extras import prepare_to_build

    prepare_to_build("sweep", "submodel-lab")
    from builder.bases.resolve import AUTO, is_hub_id
    from laboratory.datasets import LANGUAGE_PREFIX
    from laboratory.experiments.method import MethodSettings
    from laboratory.experiments.quality import QualitySettings
    from laboratory.experiments.study_options import (
        absolute,
        calibration_specs,
        parse_prompt_format,
        parse_ratios,
    )
    from laboratory.experiments.sweep_run import SweepSettings, is_complete, make_methods, run_sweep
    from laboratory.experiments.tables import sweep_tables
    from submodel.console import StageDisplay, console, print_json, print_table

    named = [*(LANGUAGE_PREFIX + language for language in languages or ()), *(calibration or ())]
    specs = calibration_specs(repository, named)
    mixtures = [(spec,) for spec in specs] + ([specs] if mixed and len(specs) > 1 else [])
    like = MethodSettings(tokens=tokens, prompt_format=parse_prompt_format(prompt_format))
    settings = SweepSettings(
        output=output,
        methods=make_methods(methods or ["wanda"], parse_ratios(sparsity), seeds or [0], like),
        calibrations=tuple(mixtures),
        measured_on=specs,
        base=base if base == AUTO or is_hub_id(base) else absolute(base),  # names go before folders, as everywhere
        quality=QualitySettings(excerpts=excerpts, middles=middles),
        dtype=dtype,
        jobs=jobs,
        threads=threads,
    )
    with StageDisplay() as display:
        document = run_sweep(settings, display)
    for table in sweep_tables(document):
        print_table(table)
    for one in document["failed"]:
        console.print(f"Not measured: {one['point']}: {one['reason']}", style="yellow", highlight=False, markup=False)
    written = f"{output / 'sweep.json'}" + (" and sweep.svg" if document["curves"] else "")
    console.print(f"Written: {written}", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print_json(document)
    if not is_complete(document):
        raise typer.Exit(1)

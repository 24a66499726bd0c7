"""`submodel-lab prune`: the paper's methods on a base, calibrated on what the user names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CALIBRATION_HELP = (
    "What to calibrate on: a folder, language:python (or java, c++, javascript, typescript, go, rust, c), text "
    "(documentation), pypi:NAME==VERSION, wheel:…, npm:NAME@VERSION, debian:NAME=VERSION; repeat it to mix "
    "equal shares."
)


def prune(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write.")],
    repository: Annotated[
        Path | None,
        typer.Argument(metavar="REPO", help="Calibrate on this repository. Default: the current folder."),
    ] = None,
    method: Annotated[str, typer.Option(help="magnitude, wanda or sparsegpt.")] = "wanda",
    sparsity: Annotated[float, typer.Option(help="Share of weights set to zero.")] = 0.5,
    calibration: Annotated[
        list[str] | None, typer.Option("--calibration", metavar="DATASET", help=CALIBRATION_HELP)
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Calibration tokens in all.")] = 24_576,
    prompt_format: Annotated[
        str, typer.Option(help="prompt: what the server sends; plain: plain text, as in the papers.")
    ] = "prompt",
    base: Annotated[str, typer.Option(metavar="auto|NAME|HUB_ID|FOLDER|FILE.gguf", help="The base model.")] = "auto",
    masks_only: Annotated[
        bool, typer.Option("--masks-only", help="Write the masks without the weights: enough for compare.")
    ] = False,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, or auto for what is fastest here.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Prune a base by a method of the literature. Most CPU runtimes run sparse models no faster."""
    from submodel.extras import prepare_to_build

    prepare_to_build("prune", "submodel-lab")
    from laboratory.experiments.method import MethodSettings
    from laboratory.experiments.prune_run import PruneRunSettings, run_prune
    from laboratory.experiments.study_options import calibration_specs, parse_prompt_format
    from submodel.console import StageDisplay, console, print_json

    settings = PruneRunSettings(
        output=output,
        calibration=calibration_specs(repository, calibration),
        base=base,
        method=MethodSettings(
            method=method,
            sparsity=sparsity,
            tokens=tokens,
            seed=seed,
            prompt_format=parse_prompt_format(prompt_format),
        ),
        masks_only=masks_only,
        dtype=dtype,
    )
    with StageDisplay() as display:
        document = run_prune(settings, display)
    console.print(document["note"], style="yellow", highlight=False)
    console.print(f"Wrote {output} in {document['seconds']:.0f} s.", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print_json(document)

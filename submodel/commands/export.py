"""`submodel export`: any supported checkpoint to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A sub-model, or any Llama- or Qwen2-shaped checkpoint.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The bundle's folder.")],
    quantize: Annotated[str, typer.Option(help="int8 or fp32.")] = "int8",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export a checkpoint to an ONNX bundle, and check that it answers as the checkpoint does."""
    from submodel.extras import prepare_to_build

    prepare_to_build("export")
    from exporters.export import ExportSettings, export_any
    from exporters.precision import parse_precision
    from submodel.console import StageDisplay, console, print_json

    settings = ExportSettings(precision=parse_precision(quantize))
    with StageDisplay() as display, display.stage("export") as advance:
        bundle = export_any(model, output, settings, on_event=display.say, on_progress=advance)
    parity = bundle.manifest["parity"]
    for name, value in parity.items():
        console.print(
            f"{name:>24}  {value:.6g}" if isinstance(value, float) else f"{name:>24}  {value}", highlight=False
        )
    console.print(f"Bundle: {output}", highlight=False, soft_wrap=True)
    if as_json:
        print_json({"bundle": str(output), "parity": parity, "quantization": bundle.manifest["quantization"]})

"""`submodel export`: any supported checkpoint to a bundle, or to a GGUF file."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What is written."""

    ONNX = "onnx"
    GGUF = "gguf"


def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A sub-model, or any Llama- or Qwen2-shaped checkpoint.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR|FILE.gguf", help="The bundle's folder, or the GGUF file.")
    ],
    form: Annotated[
        Format, typer.Option("--format", help="A bundle of ONNX, or one file for llama.cpp.")
    ] = Format.ONNX,
    quantize: Annotated[
        str,
        typer.Option(help="fp32, fp16 or int8; a GGUF file has int8 as Q8_0."),
    ] = "int8",
    add: Annotated[
        bool, typer.Option("--add", help="Add this precision to the bundle that DIR is, under transformers.js' name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export a checkpoint to an ONNX bundle, and check that it answers as the checkpoint does; or to a GGUF file."""
    from submodel.extras import prepare_to_build

    prepare_to_build("export")
    from builder.memory import keep_to_machine

    keep_to_machine()
    if form is Format.GGUF:
        _export_gguf(model, output, quantize, add, as_json)
        return
    from contract.errors import ExportError
    from exporters.bundle_export import add_precision, export_any
    from exporters.parity import ExportSettings
    from exporters.precision import parse_precision
    from submodel.build.lock import bundle_lock
    from submodel.build.paths import BuildPaths
    from submodel.build.stages import kept_record
    from submodel.console import StageDisplay, console, print_json

    if output.suffix.lower() == ".gguf":
        raise ExportError(f"A bundle of ONNX is a folder, and {output} names a GGUF file; add --format gguf for one.")
    settings = ExportSettings(precision=parse_precision(quantize))
    work = add_precision if add else export_any
    with bundle_lock(output), StageDisplay() as display, display.stage("export") as advance, ExitStack() as stack:
        if add:  # else the next build would export again
            stack.enter_context(kept_record("export", output, BuildPaths(root=output.parent).stages))
        bundle = work(model, output, settings, on_event=display.say, on_progress=advance)
    facts = bundle.manifest["variants"][str(settings.precision)] if add else bundle.manifest
    parity = facts["parity"]
    for name, value in parity.items():
        console.print(
            f"{name:>24}  {value:.6g}" if isinstance(value, float) else f"{name:>24}  {value}", highlight=False
        )
    console.print(f"Bundle: {output}", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print_json({"bundle": str(output), "parity": parity, "quantization": facts["quantization"]})


def _export_gguf(model: Path, output: Path, quantize: str, add: bool, as_json: bool) -> None:
    from contract.errors import ExportError
    from exporters.gguf_export import export_gguf, parse_gguf_precision
    from submodel.console import StageDisplay, console, print_json

    if add:
        raise ExportError("A GGUF file holds one precision, so that --add has no place; leave it out.")
    precision = parse_gguf_precision(quantize)
    with StageDisplay() as display, display.stage("export") as advance:
        export_gguf(model, output, precision, on_progress=advance)
    console.print(f"GGUF file: {output}", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print_json({"gguf": str(output), "bytes": output.stat().st_size, "quantization": str(precision)})

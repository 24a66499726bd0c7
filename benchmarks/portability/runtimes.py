"""One bundle in every runtime, compared token by token with what the checkpoint says greedily.

    python -m benchmarks.portability.runtimes MODEL BUNDLE [--llama-python PYTHON] [--name NAME]

MODEL is a sub-model's folder, BUNDLE its bundle, with as many precisions as it has. Ten of its prompts for the parity
check are continued by each runtime in each precision, and compared token by token with transformers' float32 model.
Runtimes that are not installed are named as such. npm's packages go into the cache, GGUF files beside them.
Writes benchmarks/results/runtimes-NAME.json. With --only the new cells alone have the command, machine and versions of
the run; those of the file are of the others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS, write_result
from benchmarks.machine import describe_machine
from builder.artifact import read_artifact
from contract.bundle.bundle import Bundle, read_bundle
from contract.versions import installed_versions
from testbed.runtimes import (
    PLACE,
    PROMPTS,
    TOKENS,
    Missing,
    RuntimeAnswers,
    ask_engine,
    ask_genai,
    ask_node,
    ask_optimum,
    ask_transformers,
    ask_transformers_js,
)

LONGEST = 224  # tokens of a prompt


def main() -> None:
    """Every cell, written after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--llama-python", default=sys.executable, help="a Python that has llama-cpp-python")
    parser.add_argument("--name", help="of the result's file; default: the base's")
    parser.add_argument("--only", default="", help="runtimes whose name has this in it; the file keeps the others")
    known = parser.parse_args()
    bundle = read_bundle(known.bundle.absolute())
    prompts = read_prompts(known.model)
    reference = ask_transformers(known.model, prompts)
    name = known.name or str(bundle.manifest["base"]["name"])
    origin = {
        "command": f"python -m benchmarks.portability.runtimes {known.model.name} {known.bundle.name} --name {name}"
        + f" --only '{known.only}'" * bool(known.only),
        "machine": describe_machine(),
        "versions": installed_versions(("submodel", "onnxruntime", "transformers", "torch", "tokenizers")),
    }
    document: dict[str, Any] = {**origin, "prompts": PROMPTS, "tokens": TOKENS}
    cells = [describe("transformers", "fp32", "the checkpoint", reference, reference)]
    result = RESULTS / f"runtimes-{name}.json"
    if is_kept := bool(known.only) and result.exists():
        document = json.loads(result.read_text("utf-8"))
        cells = [one for one in document["cells"] if known.only not in one["runtime"]]

    def add(runtime: str, precision: str, file: str, ask: Callable[[], RuntimeAnswers]) -> None:
        cell = describe_asked(runtime, precision, file, reference, ask)
        cells.append(cell | origin if is_kept else cell)
        print(json.dumps(cell), flush=True)
        write_result(f"runtimes-{name}", {**document, "cells": cells})

    runtimes: dict[str, Callable[[Bundle, Path, list[list[int]]], RuntimeAnswers]] = {
        "onnxruntime (Python, submodel's engine)": ask_engine,
        "onnxruntime-node": ask_node,
        "transformers.js (node)": ask_transformers_js,
        "onnxruntime-genai": ask_genai,
        "optimum ORTModelForCausalLM": ask_optimum,
    }
    for runtime, ask in runtimes.items():
        if known.only not in runtime:
            continue
        for precision, graph in sorted(bundle.graphs.items()):
            add(runtime, precision, graph.name, partial(ask, bundle, graph, prompts))
    for precision in ("fp16", "int8") if known.only in "llama.cpp (llama-cpp-python)" else ():
        file = PLACE / f"{name}-{precision}.gguf"
        ask_file = partial(ask_llama_cpp, known, file, precision, prompts)
        add("llama.cpp (llama-cpp-python)", precision, file.name, ask_file)


def read_prompts(model: Path) -> list[list[int]]:
    """Prompts that the sub-model brings, short enough for every runtime."""
    items = read_artifact(model).parity_prompts()
    fitting = [item["prompt_ids"] for item in items if 8 <= len(item["prompt_ids"]) <= LONGEST]
    if len(fitting) < PROMPTS:
        sys.exit(f"{model} has {len(fitting)} prompts of at most {LONGEST} tokens; {PROMPTS} are needed.")
    return fitting[:PROMPTS]


def describe_asked(
    runtime: str, precision: str, file: str, reference: RuntimeAnswers, ask: Callable[[], RuntimeAnswers]
) -> dict[str, Any]:
    """Ask, and return what came of it; a runtime that fails is a cell that says so."""
    try:
        return describe(runtime, precision, file, ask(), reference)
    except Missing as missing:
        return {"runtime": runtime, "precision": precision, "file": file, "missing": str(missing)}
    except Exception as error:
        return {"runtime": runtime, "precision": precision, "file": file, "failed": f"{type(error).__name__}: {error}"}


def describe(
    runtime: str, precision: str, file: str, reported: RuntimeAnswers, reference: RuntimeAnswers
) -> dict[str, Any]:
    """A cell: prompts that are continued alike, and tokens up to the first that differs."""
    pairs = list(zip(reported.answers, reference.answers, strict=True))
    agreeing = [next((i for i, (a, b) in enumerate(zip(x, y, strict=True)) if a != b), TOKENS) for x, y in pairs]
    return {
        "runtime": runtime,
        "version": reported.version,
        "precision": precision,
        "file": file,
        "same_answers": sum(count == TOKENS for count in agreeing),
        "tokens_before_first_difference": sum(agreeing),
        "tokens": PROMPTS * TOKENS,
        "seconds": round(reported.seconds, 2),
    }


def ask_llama_cpp(known: argparse.Namespace, file: Path, precision: str, prompts: list[list[int]]) -> RuntimeAnswers:
    """llama.cpp on the exported GGUF file, in a Python that has it."""
    from exporters.gguf_export import GgufPrecision, export_gguf

    check = [known.llama_python, "-c", "import llama_cpp"]
    if subprocess.run(check, capture_output=True, check=False).returncode:
        raise Missing("pip install llama-cpp-python, and name its Python with --llama-python")
    file.parent.mkdir(parents=True, exist_ok=True)
    export_gguf(known.model, file, GgufPrecision(precision))
    program = Path(__file__).with_name("llama_cpp_answers.py")
    done = subprocess.run(
        [known.llama_python, str(program), str(file)],
        input=json.dumps({"prompts": prompts, "tokens": TOKENS}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return RuntimeAnswers(**json.loads(done.stdout))


if __name__ == "__main__":
    main()

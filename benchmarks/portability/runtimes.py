"""One bundle in every runtime, compared token by token with what the checkpoint says greedily.

    python -m benchmarks.portability.runtimes MODEL BUNDLE [--llama-python PYTHON] [--name NAME]

MODEL is a sub-model's folder, BUNDLE its bundle, with as many precisions as it has. Ten of its prompts for the parity
check are continued by each runtime in each precision, and compared token by token with transformers' float32 model.
Runtimes that are not installed are named as such. npm's packages go into the cache, GGUF files beside them.
Writes benchmarks/results/runtimes-NAME.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS, write_result
from benchmarks.machine import describe_machine
from benchmarks.measured_repositories import CACHE
from builder.artifact import read_artifact
from contract.bundle.bundle import Bundle, read_bundle
from contract.children import find_program
from contract.versions import installed_versions

PROMPTS, TOKENS, LONGEST = 10, 16, 224
PLACE = CACHE.parent / "benchmarks" / "runtimes"
JAVASCRIPT = Path(__file__).parent / "javascript"
PACKAGES = ("@huggingface/transformers@4.3.1", "playwright-core@1.56")  # the first brings onnxruntime-node and -web
# transformers.js' `dtype` by the name of the file that it then looks for.
DTYPES = {"model.onnx": "fp32", "model_fp16.onnx": "fp16", "model_quantized.onnx": "q8", "model_q4.onnx": "q4"}

Ids = Sequence[int]


@dataclass(frozen=True, kw_only=True)
class RuntimeAnswers:
    """What a runtime said: token ids for each prompt, and in which time."""

    answers: list[list[int]]
    seconds: float
    version: str


class Missing(Exception):
    """A runtime that is not installed here."""


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
    cells: list[dict[str, Any]] = [describe("transformers", "fp32", "the checkpoint", reference, reference)]
    name = known.name or str(bundle.manifest["base"]["name"])
    result = RESULTS / f"runtimes-{name}.json"
    if known.only and result.exists():
        cells = [one for one in json.loads(result.read_text("utf-8"))["cells"] if known.only not in one["runtime"]]
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
            add(cells, runtime, precision, graph.name, reference, lambda a=ask, g=graph: a(bundle, g, prompts))
            save(name, cells, known)
    for precision in ("fp16", "int8") if known.only in "llama.cpp (llama-cpp-python)" else ():
        file = PLACE / f"{name}-{precision}.gguf"
        add(
            cells,
            "llama.cpp (llama-cpp-python)",
            precision,
            file.name,
            reference,
            lambda f=file, p=precision: ask_llama_cpp(known, f, p, prompts),
        )
        save(name, cells, known)


def save(name: str, cells: list[dict[str, Any]], known: argparse.Namespace) -> None:
    """What is known so far."""
    document = {
        "command": f"python -m benchmarks.portability.runtimes {known.model.name} {known.bundle.name} --name {name}",
        "machine": describe_machine(),
        "versions": installed_versions(("submodel", "onnxruntime", "transformers", "torch", "tokenizers")),
        "prompts": PROMPTS,
        "tokens": TOKENS,
        "cells": cells,
    }
    write_result(f"runtimes-{name}", document)


def read_prompts(model: Path) -> list[list[int]]:
    """Prompts that the sub-model brings, short enough for every runtime."""
    items = read_artifact(model).parity_prompts()
    fitting = [item["prompt_ids"] for item in items if 8 <= len(item["prompt_ids"]) <= LONGEST]
    if len(fitting) < PROMPTS:
        sys.exit(f"{model} has {len(fitting)} prompts of at most {LONGEST} tokens; {PROMPTS} are needed.")
    return fitting[:PROMPTS]


def add(
    cells: list[dict[str, Any]],
    runtime: str,
    precision: str,
    file: str,
    reference: RuntimeAnswers,
    ask: Callable[[], RuntimeAnswers],
) -> None:
    """Ask, and note what came of it; a runtime that fails is a cell that says so."""
    try:
        cell = describe(runtime, precision, file, ask(), reference)
    except Missing as missing:
        cell = {"runtime": runtime, "precision": precision, "file": file, "missing": str(missing)}
    except Exception as error:
        cell = {"runtime": runtime, "precision": precision, "file": file, "failed": f"{type(error).__name__}: {error}"}
    cells.append(cell)
    print(json.dumps(cell), flush=True)


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


def ask_transformers(model: Path, prompts: list[list[int]]) -> RuntimeAnswers:
    """The checkpoint itself, in float32."""
    import torch
    import transformers

    checkpoint = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    started = time.perf_counter()
    answers = [continued(checkpoint, ids) for ids in prompts]
    return RuntimeAnswers(answers=answers, seconds=time.perf_counter() - started, version=transformers.__version__)


def continued(model: Any, ids: Ids) -> list[int]:
    """Greedy tokens through transformers' interface."""
    import torch

    options = {"do_sample": False, "max_new_tokens": TOKENS, "min_new_tokens": None, "eos_token_id": None}
    given = torch.tensor([list(ids)])
    output = model.generate(given, attention_mask=torch.ones_like(given), pad_token_id=0, **options)
    return [int(token) for token in output[0, len(ids) :]]


def ask_engine(bundle: Bundle, graph: Path, prompts: list[list[int]]) -> RuntimeAnswers:
    """The language server's engine, token by token."""
    from dataclasses import replace

    import onnxruntime

    from lsp_server.decoding.engine import Engine
    from lsp_server.decoding.greedy import GreedyTokens

    engine = Engine(replace(bundle, model_path=graph))
    started = time.perf_counter()
    answers = []
    for ids in prompts:
        engine.decoder.cache.keep(0)
        steps = iter(GreedyTokens(engine.decoder, ids, 0, lambda: False))
        answers.append([next(steps) for _ in range(TOKENS)])
    return RuntimeAnswers(answers=answers, seconds=time.perf_counter() - started, version=onnxruntime.__version__)


def ask_optimum(bundle: Bundle, graph: Path, prompts: list[list[int]]) -> RuntimeAnswers:
    """Hugging Face's wrapper of onnxruntime."""
    from optimum.onnxruntime import ORTModelForCausalLM

    model = ORTModelForCausalLM.from_pretrained(
        bundle.folder, subfolder="onnx", file_name=graph.name, local_files_only=True
    )
    started = time.perf_counter()
    answers = [continued(model, ids) for ids in prompts]
    version = installed_versions(("optimum-onnx",))["optimum-onnx"]
    return RuntimeAnswers(answers=answers, seconds=time.perf_counter() - started, version=version)


def ask_genai(bundle: Bundle, graph: Path, prompts: list[list[int]]) -> RuntimeAnswers:
    """onnxruntime-genai, on a folder whose configuration names this precision's file."""
    if importlib.util.find_spec("onnxruntime_genai") is None:
        raise Missing("pip install onnxruntime-genai")
    import onnxruntime_genai

    folder = PLACE / f"genai-{graph.stem}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle.folder, folder, ignore=lambda _, names: {one for one in names if one.endswith(".onnx")})
    shutil.copyfile(graph, folder / "onnx" / graph.name)
    config = json.loads((folder / "genai_config.json").read_text("utf-8"))
    config["model"]["decoder"]["filename"] = f"onnx/{graph.name}"
    # The others are told to go on after an end token; here a rare token, the last one, plays its part.
    config["model"]["eos_token_id"] = config["model"]["vocab_size"] - 1
    (folder / "genai_config.json").write_text(json.dumps(config))
    model = onnxruntime_genai.Model(str(folder))
    started = time.perf_counter()
    answers = []
    for ids in prompts:
        parameters = onnxruntime_genai.GeneratorParams(model)
        parameters.set_search_options(max_length=len(ids) + TOKENS, do_sample=False)
        generator = onnxruntime_genai.Generator(model, parameters)
        generator.append_tokens(ids)
        while not generator.is_done():
            generator.generate_next_token()
        answer = [int(token) for token in generator.get_sequence(0)][len(ids) :]
        answers.append([*answer, *[-1] * (TOKENS - len(answer))])
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return RuntimeAnswers(answers=answers, seconds=seconds, version=onnxruntime_genai.__version__)


def ask_node(bundle: Bundle, graph: Path, prompts: list[list[int]]) -> RuntimeAnswers:
    """onnxruntime-node."""
    return run_javascript("onnxruntime.mjs", prompts, str(graph))


def ask_transformers_js(bundle: Bundle, graph: Path, prompts: list[list[int]]) -> RuntimeAnswers:
    """transformers.js in node, which finds the file by its precision's name."""
    return run_javascript("transformers.mjs", prompts, str(bundle.folder), DTYPES[graph.name])


def run_javascript(script: str, prompts: list[list[int]], *arguments: str) -> RuntimeAnswers:
    """A script of benchmarks/portability/javascript in npm's folder in the cache."""
    node = find_program("node")
    if node is None:
        raise Missing("install Node 20")
    install_packages()
    shutil.copyfile(JAVASCRIPT / script, PLACE / script)
    done = subprocess.run(
        [node, script, *arguments],
        cwd=PLACE,
        input=json.dumps({"prompts": prompts, "tokens": TOKENS}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-600:])
    return RuntimeAnswers(**json.loads(done.stdout[done.stdout.index("{") :]))


def install_packages() -> Path:
    """Packages of npm, in the cache; nothing of them runs while they are installed."""
    PLACE.mkdir(parents=True, exist_ok=True)
    if not (PLACE / "node_modules" / "@huggingface" / "transformers").is_dir():
        npm = find_program("npm")
        if npm is None:
            raise Missing("install npm")
        command = [npm, "install", "--prefix", str(PLACE), "--ignore-scripts", "--no-save", *PACKAGES]
        subprocess.run(command, check=True, env={**os.environ, "npm_config_loglevel": "error"})
    return PLACE


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

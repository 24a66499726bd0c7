"""One bundle asked in other runtimes than ours: each returns greedy tokens, or raises Missing."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from contract.bundle.bundle import Bundle
from contract.children import find_program

PROMPTS, TOKENS = 10, 16
PLACE = Path(platformdirs.user_cache_dir("submodel")) / "benchmarks" / "runtimes"
JAVASCRIPT = Path(__file__).parent / "javascript"
PACKAGES = ("@huggingface/transformers@4.3.1", "playwright-core@1.56")  # the first brings onnxruntime-node and -web
# transformers.js' `dtype` by the name of the file that it then looks for.
DTYPES = {"model.onnx": "fp32", "model_fp16.onnx": "fp16", "model_quantized.onnx": "q8"}

Ids = Sequence[int]


@dataclass(frozen=True, kw_only=True)
class RuntimeAnswers:
    """What a runtime said: token ids for each prompt, and in which time."""

    answers: list[list[int]]
    seconds: float
    version: str


class Missing(Exception):
    """A runtime that is not installed here."""


def find_chromium() -> str | None:
    """Return the path of Chromium, None if it is not here."""
    return os.environ.get("CHROMIUM") or find_program("chromium")


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

    from lsp_server.decoding.engine import Engine, GreedyTokens

    engine = Engine(replace(bundle, model_path=graph))
    started = time.perf_counter()
    answers = []
    for ids in prompts:
        engine.decoder.cache.keep(0)
        steps = iter(GreedyTokens(engine.decoder, ids, 0, lambda: False))
        answers.append([next(steps)[0] for _ in range(TOKENS)])
    return RuntimeAnswers(answers=answers, seconds=time.perf_counter() - started, version=onnxruntime.__version__)


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
    # The other runtimes ignore the end token. Here the last token, a rare one, takes its place.
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
    """Run a script of testbed/javascript in npm's folder in the cache, with the prompts as its input."""
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

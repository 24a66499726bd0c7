"""Serving on ARM64, emulated: the same greedy tokens as on this processor, and the tests of what serves.

    apt-get install qemu-user mmdebstrap
    mmdebstrap --variant=extract --architectures=arm64 --include=python3,libgomp1,libstdc++6 trixie ROOT
    python -m benchmarks.portability.arm64 ROOT [--bundle BUNDLE] [--prompts 10] [--tests tests/contract …]

Installs the serve-only dependencies as wheels for ARM64 into ROOT/packages. Makes a model of two random layers in fp32,
int8 and int4 here, or takes `--bundle` in each precision that it has, and continues prompts. Both engines then read
each prompt with that answer, and a step is the same if its most probable token is. Then runs tests there; those that
need torch are skipped, and each has `--test-limit-s`. Writes the parts of benchmarks/results/arm64.json that it
measured, each with its command, machine and versions; all else in the file stays as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS, write_document
from benchmarks.machine import describe_machine, describe_versions
from contract.bundle.bundle import Bundle, read_bundle
from contract.children import find_program, python_module
from lsp_server.decoding.detokenizer import load_tokenizer
from testbed.bundles import make_tiny_bundle
from testbed.runtimes import ask_engine

CHECKOUT = Path(__file__).parents[2]
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
FOR_TESTS = (
    *("hypothesis", "msgspec", "onnx", "pytest", "pytest-lsp", "pytest-timeout"),
    "securesystemslib[crypto]",  # the fixture of a registry signs one
)
# As today's ARM laptops: dot products and 8-bit matrix products of NEON. QEMU's own choice, `max`, has SVE and SME too.
# ONNX Runtime has kernels for these, which QEMU emulates slowly: int8 of the random model took 349 s, 0.2 s without.
PROCESSOR = "max,sve=off,sme=off,pauth-impdef=on"
PROMPT_TOKENS = 64
# Runs on both processors. Argument: a document with `bundle`, `graph`, `sequences` and `keep`, the steps at the end of
# each sequence. Prints the chosen tokens, and how much more than the second one each was preferred.
CHOOSE = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
import numpy as np
from contract.bundle.bundle import read_bundle
from lsp_server.decoding.engine import Engine
document = json.load(open(sys.argv[1]))
bundle, keep = read_bundle(Path(document["bundle"])), document["keep"]
decoder = Engine(replace(bundle, model_path=Path(document["graph"])), threads=1).decoder
began, chosen, margins = time.perf_counter(), [], []
for sequence in document["sequences"]:
    decoder.cache.keep(0)
    logits = decoder.feed(sequence[:-1], keep=keep)
    best = np.sort(logits, axis=1)[:, -2:]
    chosen += logits.argmax(axis=1).tolist()
    margins += (best[:, 1] - best[:, 0]).tolist()
print(json.dumps({"tokens": chosen, "margins": margins, "seconds": time.perf_counter() - began}))
"""


class Emulator:
    """Python of an ARM64 system, run by qemu on this one's kernel."""

    def __init__(self, root: Path, processor: str) -> None:
        qemu = find_program("qemu-aarch64")
        if qemu is None:
            sys.exit("qemu-aarch64 is not here; install qemu-user (Debian), and run it again.")
        python = max((root / "usr" / "bin").glob("python3.[0-9]*"), default=None)
        if python is None:
            sys.exit(f"{root} holds no Python; the first lines of this program say how to make it.")
        self.version = python.name.removeprefix("python")
        self.packages = root / "packages"
        self._python = root / "emulated-python"
        command = shlex.join([qemu, "-cpu", processor, "-L", str(root), str(python)])
        self._python.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
        self._python.chmod(0o755)

    def install(self) -> None:
        """Install what serving and its tests need, unless it is there: as wheels, since nothing of it runs here."""
        with (CHECKOUT / "pyproject.toml").open("rb") as file:
            needed = [*tomllib.load(file)["project"]["dependencies"], *FOR_TESTS]
        installed = self.packages / "requirements.txt"
        if installed.exists() and installed.read_text("utf-8").splitlines() == needed:
            return
        shutil.rmtree(self.packages, ignore_errors=True)
        where = ["--target", str(self.packages), "--python-version", self.version, "--only-binary", ":all:"]
        platforms = [word for name in PLATFORMS for word in ("--platform", name)]
        command = [*python_module("pip"), "install", "--quiet", "--upgrade", *where, *platforms, *needed]
        subprocess.run(command, check=True)
        installed.write_text("\n".join(needed), "utf-8")

    def run(self, *arguments: object, limit_s: float, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python there; raise TimeoutExpired after `limit_s`."""
        variables = {
            **os.environ,
            "PYTHONPATH": f"{self.packages}{os.pathsep}{CHECKOUT}",
            "EMULATED_PYTHON": str(self._python),  # for its children: the kernel can't start an ARM64 program
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # the checkout is this machine's
            **environment,
        }
        command = [str(self._python), *map(str, arguments)]
        return subprocess.run(command, cwd=CHECKOUT, env=variables, stdout=subprocess.PIPE, text=True, timeout=limit_s)


def make_graphs(folder: Path) -> dict[str, Path]:
    """Make the tiny bundle, and return its graph in three precisions."""
    from exporters.checkpoint_reader import Checkpoint
    from exporters.graph import build_graph, save_graph
    from exporters.precision import Precision

    make_tiny_bundle(folder / "bundle", folder / "checkpoint")
    graphs = {}
    for precision in (Precision.FP32, Precision.INT8, Precision.INT4):
        graphs[str(precision)] = folder / "bundle" / "onnx" / f"model_{precision}.onnx"
        save_graph(build_graph(Checkpoint(folder / "checkpoint"), precision), graphs[str(precision)])
    return graphs


def compare_answers(
    emulator: Emulator, bundle: Bundle, graph: Path, prompts: list[list[int]], limit_s: float
) -> dict[str, Any]:
    """Return how many greedy steps are the same, and the margins of those that are not."""
    answers = ask_engine(replace(bundle, model_path=graph), graph, prompts).answers
    sequences = [[*ids, *answer] for ids, answer in zip(prompts, answers, strict=True)]
    asked = {"bundle": str(bundle.folder), "graph": str(graph), "sequences": sequences, "keep": len(answers[0])}
    with tempfile.TemporaryDirectory() as scratch:
        document = Path(scratch) / "document.json"
        document.write_text(json.dumps(asked), "utf-8")
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        command = [sys.executable, "-c", CHOOSE, str(document)]
        here = json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)
        try:
            there = json.loads(emulator.run("-c", CHOOSE, document, limit_s=limit_s).stdout)
        except subprocess.TimeoutExpired:
            return {"not_done_after_s": limit_s}
    return _compared(here, there)


def _compared(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    pairs = list(zip(here["tokens"], there["tokens"], strict=True))
    different = [step for step, (one, other) in enumerate(pairs) if one != other]
    return {
        "steps": len(pairs),
        "same": len(pairs) - len(different),
        "median_margin": round(sorted(here["margins"])[len(pairs) // 2], 3),
        "margins_where_different": [round(here["margins"][step], 4) for step in different],
        "seconds_here": round(here["seconds"], 2),
        "seconds_emulated": round(there["seconds"], 2),
    }


def run_tests(
    emulator: Emulator, tests: Sequence[str], tiny_bundle: Path, limit_s: float, test_limit_s: float
) -> dict[str, Any]:
    """Return how many tests passed, failed, were skipped or took too long there, and why."""
    # In the order given, so that what a limit cuts off is the end.
    options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "benchmarks.portability.arm64_plugin"]
    options += ["--continue-on-collection-errors", "--timeout", str(test_limit_s), "-m", "not slow"]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = Path(scratch) / "outcomes.jsonl"
        try:
            environment = {"TINY_BUNDLE": str(tiny_bundle), "OUTCOMES": str(outcomes)}
            emulator.run(*options, *tests, limit_s=limit_s, **environment)
            is_whole = True
        except subprocess.TimeoutExpired:
            is_whole = False
        reports = [json.loads(line) for line in outcomes.read_text("utf-8").splitlines()]
    counts = Counter(report["outcome"] for report in reports)
    return {
        **{name: counts[name] for name in ("passed", "failed", "timed_out", "skipped")},
        "not_passed": {
            report["test"]: report["why"] for report in reports if report["outcome"] in ("failed", "timed_out")
        },
        "skipped_because": Counter(report["why"] for report in reports if report["outcome"] == "skipped"),
        "slowest_s": dict(sorted(((one["test"], one["seconds"]) for one in reports), key=lambda one: -one[1])[:5]),
        "all_were_run": is_whole,
        "seconds": round(time.perf_counter() - began),
        "limit_s_of_a_test": test_limit_s,
        "paths": list(tests),
    }


def main() -> None:
    """Install, compare, test; write after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--prompts", type=int, default=10, help="0 leaves the comparison out")
    parser.add_argument("--tests", nargs="*", default=["tests/contract", "tests/lsp_server"])
    parser.add_argument("--limit-s", type=float, default=3600, help="of each emulated command")
    parser.add_argument("--test-limit-s", type=float, default=120, help="of each test")
    parser.add_argument("--processor", default=PROCESSOR, help="qemu's name for what it emulates")
    parser.add_argument("--output", default="arm64", help="the name of the file of results")
    known = parser.parse_args()
    emulator = Emulator(known.root.absolute(), known.processor)
    emulator.install()
    about = {
        "command": f"python -m benchmarks.portability.arm64 {' '.join(sys.argv[1:])}",
        "processor": known.processor,
        "note": f"Emulated by qemu-aarch64, Python {emulator.version}. The seconds say nothing of a real processor.",
        "machine": describe_machine(),
        "versions": describe_versions(),
    }

    def write(part: str, found: Mapping[str, Any]) -> None:
        print(json.dumps({part: found}, indent=2), flush=True)
        path = RESULTS / f"{known.output}.json"
        kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
        write_document(known.output, {**kept, part: {**about, **found}})

    if known.bundle and known.prompts:
        bundle = read_bundle(known.bundle.absolute())
        text = (CHECKOUT / "lsp_server" / "completion.py").read_text("utf-8")
        ids = load_tokenizer(bundle.tokenizer_path).encode(text).ids
        prompts = [ids[at : at + PROMPT_TOKENS] for at in range(0, known.prompts * PROMPT_TOKENS, PROMPT_TOKENS)]
        found: dict[str, Any] = {"name": bundle.manifest["base"]["name"], "parameters": bundle.manifest["parameters"]}
        for precision, graph in reversed(bundle.graphs.items()):  # its own precision first
            found[precision] = compare_answers(emulator, bundle, graph, prompts, known.limit_s)
            write("bundle", found)
        known.prompts = 0
    if not known.prompts and not known.tests:
        return
    with tempfile.TemporaryDirectory() as scratch:
        graphs = make_graphs(Path(scratch))
        tiny = read_bundle(Path(scratch) / "bundle")
        if known.prompts:
            rng = random.Random(0)
            vocabulary = tiny.architecture.vocab_size
            prompts = [[rng.randrange(vocabulary) for _ in range(PROMPT_TOKENS)] for _ in range(known.prompts)]
            compared = {}
            for precision, graph in graphs.items():
                compared[precision] = compare_answers(emulator, tiny, graph, prompts, known.limit_s)
            write("random_model", compared)
        if known.tests:
            write("tests", run_tests(emulator, known.tests, tiny.folder, known.limit_s, known.test_limit_s))


if __name__ == "__main__":
    main()

"""The paper's questions on real models, by the commands that users have: docs/paper.md says what each part answers.

`python -m benchmarks.paper PART --base NAME`, PART one of sensitivity, matrix-structured, matrix-wanda-plain,
matrix-wanda-prompts, regions, languages. Each part goes on where it was stopped, and leaves its figures in
benchmarks/results/paper-PART-NAME.json, with a picture where there is one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS, write_result
from benchmarks.generic_folder import write_generic_folder
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measured_repositories import CACHE
from contract.children import python_module
from laboratory.datasets import open_dataset
from laboratory.experiments.point import POINT_VERSION

LANGUAGES = ("python", "java", "c++", "javascript")
SEEDS = (0, 1, 2)
RATIO = "0.5"  # as in the paper
OTHER_PACKAGES = "_other"  # after a language's name: calibrated on a package outside of its set
STRUCTURED_RATIO = "0.35"  # --size 0.65 of a build
# Wanda twice: on pieces of text, as in the paper, and on what the server sends. A model is read as it was calibrated:
# pruned on prompts alone it has lost what text without them begins with, and on text alone what fills in the middle.
MATRICES = {
    "matrix-structured": ("--method", "structured", "--sparsity", STRUCTURED_RATIO),
    "matrix-wanda-plain": ("--method", "wanda", "--sparsity", RATIO, "--prompt-format", "plain", "--middles", "0"),
    "matrix-wanda-prompts": ("--method", "wanda", "--sparsity", RATIO, "--excerpts", "1"),
}


def main() -> None:
    """One part of the study."""
    matrices = {name: partial(matrix, sweep) for name, sweep in MATRICES.items()}
    parts: dict[str, Callable[[str, Path, list[str]], dict[str, Any]]] = {
        "sensitivity": sensitivity,
        **matrices,
        "regions": regions,
        "languages": languages,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--base", required=True)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time of a sweep")
    options = parser.parse_args()
    spread = ["--jobs", str(options.jobs)]
    folder = CACHE / "paper" / options.base / options.part
    folder.mkdir(parents=True, exist_ok=True)
    document = parts[options.part](options.base, folder, spread)
    document |= {
        "command": " ".join(["python -m benchmarks.paper", *sys.argv[1:]]),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    name = f"paper-{options.part}-{options.base}"
    write_result(name, document)
    if options.part not in MATRICES:  # curves of one ratio show nothing
        for picture in folder.glob("*.svg"):
            shutil.copyfile(picture, RESULTS / f"{name}-{picture.stem}.svg")


def sensitivity(base: str, folder: Path, spread: Sequence[str]) -> dict[str, Any]:
    """Quality over the ratio, all methods, calibrated and measured on Python.

    On pieces of text, as in the paper, and read left to right: what is pruned on prompts alone loses that by chance.
    The structured method knows prompts alone, of which an eighth are such pieces.
    """
    methods = [word for name in ("magnitude", "wanda", "sparsegpt", "structured") for word in ("--method", name)]
    ratios = ["--sparsity", "0.1:0.7:0.1", "--language", "python", "--prompt-format", "plain", "--middles", "0"]
    return _lab("sweep", "-o", folder, "--base", base, *methods, *ratios, *spread)


def matrix(sweep: Sequence[str], base: str, folder: Path, spread: Sequence[str]) -> dict[str, Any]:
    """Calibrated on each of the four languages and on all, measured on each, three seeds, equal tokens."""
    languages = [word for name in LANGUAGES for word in ("--language", name)]
    seeds = [word for seed in SEEDS for word in ("--seed", str(seed))]
    return _lab("sweep", "-o", folder, *sweep, "--base", base, "--mixed", *languages, *seeds, *spread)


def regions(base: str, folder: Path, spread: Sequence[str]) -> dict[str, Any]:
    """Mask distances within and across languages; of other packages, documentation, and the same code as prompts."""
    datasets = {name: f"language:{name}" for name in LANGUAGES}
    datasets |= {"text": "text", f"python{OTHER_PACKAGES}": "wheel:networkx==3.4.2"}
    # Pieces of text, as in the paper; two languages as the server's prompts too.
    wanted = [(name, "plain", seed) for name in datasets for seed in SEEDS[:2]]
    wanted += [(name, "prompt", SEEDS[0]) for name in LANGUAGES[:2]]
    models = []
    for name, prompt_format, seed in wanted:
        options = ("--base", base, "--prompt-format", prompt_format, "--seed", str(seed), "--masks-only")
        models.append(_prune(folder, f"{name}-{prompt_format}-{seed}", datasets[name], *options))
    document = _lab("compare", *models, "--picture", folder / "regions.svg")
    del document["layers"]  # a megabyte, and in the picture
    return document


def _prune(folder: Path, label: str, dataset: str, *options: str) -> Path:
    """A half-empty model, from `folder` where it was made before; `label` names what `options` say."""
    # Masks of other texts, or of an earlier version of the study, are not compared with these.
    model = folder / f"{POINT_VERSION}-{_texts_of(dataset)}" / label
    if not model.is_dir():
        # The same number format for all: what is fastest is measured anew by each command.
        fixed = ("--calibration", dataset, "--sparsity", RATIO, "--dtype", "bfloat16")
        _lab("prune", "-o", model, *fixed, *options)
    return model


@cache
def _texts_of(dataset: str) -> str:
    """What tells a dataset's texts from others."""
    return open_dataset(dataset).corpus.fingerprint[:8]


def languages(base: str, folder: Path, spread: Sequence[str]) -> dict[str, Any]:
    """A sub-model of each language's packages, and each scored on each language's held-out files."""
    builds = {name: _build_language(name, base, folder / name) for name in LANGUAGES}
    facts = ("plan", "finetuning", "stages", "peak_rss_bytes")
    return {
        "builds": {name: {key: document[key] for key in facts} for name, document in builds.items()},
        "scored_on": {name: _score_on(name, base, folder) for name in LANGUAGES},
    }


def _build_language(name: str, base: str, folder: Path) -> dict[str, Any]:
    """A build of the language's packages in `folder`, which are written if it is new."""
    if not folder.is_dir():
        write_generic_folder(name, folder)
    return _submodel("build", folder, "--base", base, "--positions", "0")


def _model_in(folder: Path) -> Path:
    return folder / ".submodel" / "model"


def _score_on(language: str, base: str, folder: Path) -> dict[str, Any]:
    """The figures of the base and of each language's model, and how each stands to that of `language`, paired."""
    places = {language: str(_model_in(folder / language)), "base": "base"}
    places |= {name: str(_model_in(folder / name)) for name in LANGUAGES if name != language}
    models = [word for place in places.values() for word in ("--model", place)]
    document = _submodel("eval", folder / language, "--base", base, *models, "--positions", "100", "--blocks", "0")
    own, *others = places
    return {
        "models": dict(zip(places, document["models"], strict=True)),
        "against": own,
        "differences": {name: document["against_base"][places[name]] for name in others},
    }


def _submodel(*arguments: object) -> dict[str, Any]:
    return _document("submodel", arguments)


def _lab(*arguments: object) -> dict[str, Any]:
    return _document("laboratory", arguments)


def _document(program: str, arguments: Sequence[object]) -> dict[str, Any]:
    """A command's document."""
    command = [*python_module(program), *map(str, arguments), "--json"]
    # A sweep that lost a point ends with 1: no figures rather than some.
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


if __name__ == "__main__":
    main()

"""Bits per byte of missing middles: a base and its sub-models at the same window, on files that no build learned from.

    python -m benchmarks.middle_bits REPOSITORY --base NAME [--whole OUTPUT] [--middles 60]

Models are REPOSITORY/.submodel/model and OUTPUT/model, which `submodel build REPOSITORY --size 1 -o OUTPUT` made. Each
is asked with 1,024 tokens before the cursor and 256 behind it, in its own prompt format. A middle is the rest of a line
of a file that the build held out and that is as it was then. Writes benchmarks/results/middle-bits-REPOSITORY.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from builder.artifact import read_artifact
from builder.bases.load import load_base
from builder.datasets import Dataset, open_dataset
from builder.evaluation.metrics import bootstrap
from builder.number_format import fastest_dtype
from contract.documents import Estimate
from contract.prompt import PromptEncoder
from laboratory.experiments.quality import QualitySettings, measure_quality
from submodel.build.paths import BuildPaths
from submodel.evaluation.predictors import open_checkpoint

DEFINITION = 2  # of the middles: 1 took the files that today's split holds out, 2 those that the build held out


def main() -> None:
    """Score each model, and compare with the base in pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--base", required=True)
    parser.add_argument("--whole", type=Path, help="the output of a build of the same files with --size 1")
    parser.add_argument("--middles", type=int, default=60)
    arguments = parser.parse_args()
    settings = QualitySettings(excerpts=1, middles=arguments.middles)
    paths = BuildPaths(root=arguments.repository / ".submodel")
    manifest = read_artifact(paths.model).manifest or {}
    dataset = held_out_of(open_dataset(str(arguments.repository)), manifest.get("held_out_sha256", ()))
    measured = {"base": _measure_base(arguments.base, dataset, settings)}
    measured["sub-model"] = measure_folder("sub-model", paths.model, dataset, settings)
    if arguments.whole is not None:
        name, folder = "dense base, fine-tuned", BuildPaths(root=arguments.whole).model
        measured[name] = measure_folder(name, folder, dataset, settings)
    document = {
        "command": f"python -m benchmarks.middle_bits REPOSITORY --base {arguments.base} --middles {arguments.middles}",
        "definition": DEFINITION,
        "repository": dataset.name,
        "models": {name: _bits(figures) for name, figures in measured.items()},
        "against_base": {
            name: compare(figures, measured["base"]) for name, figures in measured.items() if name != "base"
        },
        "middles": len(measured["base"]["middle_bytes"]),
        "middle_nats": {name: figures["middle_nats"] for name, figures in measured.items()},
        "middle_bytes": measured["base"]["middle_bytes"],
        "middle_files": measured["base"]["middle_files"],
    }
    print(document["models"], document["against_base"])
    write_result(f"middle-bits-{dataset.name}", document)


def held_out_of(dataset: Dataset, held_out_sha256: Collection[str]) -> Dataset:
    """Return the files that a build held out, by the hashes of its manifest, as the held-out ones of a dataset."""
    known = frozenset(held_out_sha256)
    files = tuple(replace(file, split="held-out") for file in dataset.corpus.files if file.sha256 in known)
    if not files:
        raise SystemExit(
            f"None of the files that the build held out is in {dataset.corpus.root} as it was; "
            "check out the commit that it was built of."
        )
    return replace(dataset, corpus=replace(dataset.corpus, files=files))


def _measure_base(name: str, dataset: Dataset, settings: QualitySettings) -> dict[str, Any]:
    base = load_base(name, dtype=fastest_dtype())
    return measure_quality(base.model, PromptEncoder(base.tokenizer, base.prompt), dataset, settings)


def measure_folder(name: str, folder: Path, dataset: Dataset, settings: QualitySettings) -> dict[str, Any]:
    """Figures of the sub-model in a folder."""
    predictor = open_checkpoint(name, read_artifact(folder), fastest_dtype())
    return measure_quality(predictor.model, predictor.encoder, dataset, settings)


def _bits(figures: dict[str, Any]) -> float:
    return round(float(figures["fim_bits_per_byte"]), 4)


def compare(figures: dict[str, Any], base: dict[str, Any]) -> Estimate:
    """Bits of the model over bits of the base, less one: what it saves, with the 95 % interval over files."""
    ours, theirs = figures["middle_nats"], base["middle_nats"]

    def saving(indices: Sequence[int]) -> float:
        return float(sum(ours[index] for index in indices) / sum(theirs[index] for index in indices)) - 1

    return bootstrap(saving, len(ours), files=figures.get("middle_files", ())).to_json()


if __name__ == "__main__":
    main()

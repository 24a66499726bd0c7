"""Many updates one after the other: whether what the first build knew is kept, and whether the bundle grows.

    python -m benchmarks.many_updates CLONE --name NAME --base BASE [--updates 30] [--step 5] [--minutes 2] [--from 0]

CLONE has its whole history; commits are counted back along the first parents of --from commits before its HEAD. A
sub-model is built so many steps before, then updated at each step. The full-precision sub-models of the first build and
of every tenth update are asked for the middles of lines of the files that the build held out, as they were then. Each
update exports from the full-precision sub-model, so that no weight is quantized twice; what quantization costs is the
parity check's difference of loss. Other options are those of `submodel build`. Run again, it goes on. Writes
benchmarks/results/many-updates-NAME.json.

BASE has to fill in the middle of a text. Below two minutes a base of half a billion parameters learns during its
warm-up alone on two cores.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from benchmarks.builds import checkout, commit_at, run_once, run_program, size_of, write_result
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measured_repositories import CACHE
from benchmarks.middle_bits import compare, held_out_of, measure_folder
from builder.artifact import read_artifact
from builder.datasets import open_dataset
from laboratory.experiments.quality import QualitySettings
from submodel.build.paths import BuildPaths

MEASURED_EACH = 10  # updates
SETTINGS = QualitySettings(excerpts=1, middles=100)


def main() -> None:
    """Build, update again and again, and compare with the first build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--step", type=int, default=5, help="commits from one update to the next")
    parser.add_argument("--minutes", type=float, default=2.0, help="of fine-tuning, of each update")
    parser.add_argument("--from", dest="last", type=int, default=0, help="commits before HEAD, of the last update")
    arguments, build_options = parser.parse_known_args()
    room = CACHE / "many-updates" / arguments.name
    first = arguments.last + arguments.updates * arguments.step
    reported: dict[str, Any] = {
        "command": f"python -m benchmarks.many_updates CLONE --name {arguments.name} --base {arguments.base} "
        f"--updates {arguments.updates} --step {arguments.step} --minutes {arguments.minutes:g} "
        f"--from {arguments.last} " + " ".join(build_options),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "steps": [],
    }
    figures: dict[int, dict[str, Any]] = {}
    for number in range(arguments.updates + 1):
        commit = commit_at(arguments.clone, first - number * arguments.step)
        folder = checkout(arguments.clone, room / "followed", commit)
        words = ["update", ".", "--minutes", f"{arguments.minutes:g}"]
        if number == 0:
            words = ["build", ".", "--base", arguments.base, *build_options]
        model = room / f"model-{number}"
        took = _step(folder, number, commit, words, model if number % MEASURED_EACH == 0 else None)
        if model.is_dir():
            figures[number] = _measure(arguments.clone, room, commit_at(arguments.clone, first), model)
            took |= {key: figures[number][key] for key in ("fim_bits_per_byte", "middle_exact")}
            took["bits_against_first"] = compare(figures[number], figures[0])
        reported["steps"].append({"commit": commit, **took})
        write_result(f"many-updates-{arguments.name}", reported)
        print(number, took.get("kept"), took["seconds"], took.get("bits_against_first"), flush=True)


def _step(folder: Path, number: int, commit: str, words: list[str], keep: Path | None) -> dict[str, Any]:
    """Run a command of ours unless an earlier run did; measure the bundle, and copy the model to `keep`."""
    paths = BuildPaths(root=folder / ".submodel")

    def then() -> dict[str, int]:
        if keep is not None:
            shutil.copytree(paths.model, keep, dirs_exist_ok=True)
        return {"bundle_bytes": size_of(paths.bundle)}

    took = run_once(paths.root / f"step-{number}.json", words, folder, commit, then)
    return {key: took[key] for key in took if key != "origin"}


def _measure(clone: Path, room: Path, commit: str, model: Path) -> dict[str, Any]:
    """Return the figures of a model on the files that the first build held out, as they were then."""
    manifest = read_artifact(room / "model-0").manifest or {}
    if not read_artifact(model).prompt.is_fim:
        raise SystemExit("The base does not fill in the middle of a text; name one that does with --base.")
    dataset = open_dataset(str(checkout(clone, room / "first", commit)))
    return measure_folder(model.name, model, held_out_of(dataset, manifest["held_out_sha256"]), SETTINGS)


if __name__ == "__main__":
    run_program(main)

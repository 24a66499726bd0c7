"""Does the repository matter? Base, generic and own sub-models side by side on held-out files of repositories.

    python -m benchmarks.repository_matters --base qwen2.5-coder-0.5b

For each repository: the dense base; a model of the same size pruned on generic code and on this repository, each with
and without fine-tuning; and the whole base fine-tuned for the same minutes (`--size 1`). All answer at the same
positions. Writes benchmarks/results/matters-BASE-REPOSITORY.json. What an earlier run finished is kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.builds import build, describe_repository, read_report, run_program, scores_in, write_result
from benchmarks.measured_repositories import CACHE, GENERIC, Repository, add_only, chosen, fetch, tree_hash
from builder.corpus.corpus import read_corpus
from builder.evaluation.baselines import score_baselines
from builder.evaluation.held_out import HeldOut, ScoringSettings, make_held_out
from builder.evaluation.scores import Scores, compare
from builder.evaluation.scoring import score
from builder.number_format import fastest_dtype
from contract.bundle.bundle import read_bundle
from contract.versions import SCORING_VERSION
from submodel.build.stages import hash_of
from submodel.evaluation.predictors import ScoredModel, open_predictor

POSITIONS = 200
# Left minus right, each with its interval: what a reader asks.
QUESTIONS = (
    ("repository, fine-tuned", "base"),
    ("repository, fine-tuned", "dense base, fine-tuned"),
    ("repository, fine-tuned", "generic, fine-tuned"),
    ("repository, pruned", "generic, pruned"),
    ("generic, fine-tuned", "base"),
    ("bundle", "base"),
)


def main() -> None:
    """One repository after the other, then all together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    add_only(parser)
    known, rest = parser.parse_known_args()
    generic = build(generic_code(), f"generic-{known.base}", known.base, ["--positions", "0", *rest])
    for repository in chosen(known.only):
        command = " ".join(["python -m benchmarks.repository_matters --base", known.base, *rest])
        document = {"command": f"{command} --only {repository.name}", **_measure(repository, known.base, generic, rest)}
        write_result(f"matters-{known.base}-{repository.name}", document)


def _measure(repository: Repository, base: str, generic: Path, rest: Sequence[str]) -> dict[str, Any]:
    folder = fetch(repository)
    counted = ["--positions", str(POSITIONS), *rest]
    own = build(folder, f"{folder.name}-{base}", base, counted)
    whole = build(folder, f"{folder.name}-{base}-whole", base, [*counted, "--size", "1"])
    corpus = read_corpus(folder)
    settings = ScoringSettings(positions=POSITIONS, seed=1)  # as `submodel build` has it
    held_out = make_held_out(corpus.files, settings)

    def checkpoint(folder: Path) -> Scores:
        return folder_scores(folder, held_out, own / "stages")

    models = {
        "base": scores_in(own, "score the base"),
        "repository, fine-tuned": checkpoint(own / "model"),
        "bundle": scores_in(own, "score the sub-model"),
        "dense base, fine-tuned": checkpoint(whole / "model"),
        "repository, pruned": checkpoint(own / "pruned"),
        "generic, pruned": checkpoint(generic / "pruned"),
        "generic, fine-tuned": checkpoint(generic / "model"),
    }
    return {
        **describe_repository(repository, folder),
        "models": [{**scores.to_json(), "name": name} for name, scores in models.items()],
        "baselines": [scores.to_json() for scores in score_baselines(corpus, held_out.fim_examples)],
        "compared": {f"{left} − {right}": compare(models[left], models[right]) for left, right in QUESTIONS},
        # For intervals over all repositories together; no code of the repository is in it.
        "exact": {name: "".join("01"[answer.is_exact] for answer in scores.lines) for name, scores in models.items()},
        "excerpt_nats": {
            name: [round(excerpt.nats, 2) for excerpt in scores.excerpts] for name, scores in models.items()
        },
        "builds": {
            "repository": _facts(own),
            "dense base, fine-tuned": _facts(whole),
            "generic": {"tree_sha256": tree_hash(generic_code()), **_facts(generic)},
        },
    }


def generic_code() -> Path:
    """One folder with all the generic repositories in it; another one if the list of them changes."""
    folder = CACHE / f"generic-{hash_of(repositories=GENERIC)[:12]}"
    if not folder.is_dir():
        fresh = CACHE / ".generic.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        for repository in GENERIC:
            shutil.copytree(fetch(repository), fresh / repository.name)
        fresh.rename(folder)
    return folder


def _facts(output: Path) -> dict[str, Any]:
    """What a build says of itself, without the repository's code."""
    report = read_report(output)
    bundle = output / "bundle" / "onnx" / "model.onnx"
    kept = {key: report[key] for key in ("plan", "calibration", "finetuning", "parity", "stages", "peak_rss_bytes")}
    files = read_bundle(output / "bundle", verify=False).manifest["files"]
    registry_bytes = sum(facts["bytes"] for facts in files.values())
    return {**kept, "bundle_bytes": bundle.stat().st_size, "registry_bytes": registry_bytes}


def folder_scores(folder: Path, held_out: HeldOut, records: Path) -> Scores:
    """The model of a folder, scored now or in an earlier run that asked the same in the same way."""
    manifest = (folder / "manifest.json").read_text("utf-8")
    stage_hash = hash_of(version=SCORING_VERSION, manifest=manifest, positions=held_out.fingerprint)
    path = records / f"matters-{folder.parent.name}-{folder.name}.json"
    if path.exists() and (known := json.loads(path.read_text("utf-8"))).get("stage_hash") == stage_hash:
        return Scores.from_record(known["scores"])
    started = time.perf_counter()
    candidate = ScoredModel(name=str(folder), folder=folder)
    scores = score(open_predictor(candidate, "", fastest_dtype(), print), held_out)
    print(f"scored {folder} in {time.perf_counter() - started:.0f} s", flush=True)
    path.write_text(json.dumps({"stage_hash": stage_hash, "scores": scores.to_record()}), "utf-8")
    return scores


if __name__ == "__main__":
    run_program(main)

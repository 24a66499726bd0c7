"""`submodel eval`: any of base, sub-model and bundle on held-out files of a repository, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.corpus.corpus import SourceFile, read_corpus
from builder.errors import BuildError
from builder.evaluation.baselines import score_baselines
from builder.evaluation.held_out import ScoringSettings, make_held_out
from builder.evaluation.scores import Scores, compare
from builder.evaluation.scoring import score
from builder.precision import fastest_dtype
from submodel.console import StageDisplay
from submodel.evaluation.predictors import base_of, files_held_out_from, find_candidates, open_predictor


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """What is compared, and on how much."""

    repository: Path
    models: tuple[str, ...] = ()  # "base", "sub-model", "bundle" or folders; none: all that there are
    base: str | None = None  # None: the one that the sub-model was made from
    positions: int = ScoringSettings.positions
    blocks: int = 100  # positions of several lines
    seed: int = 0  # the same as a build's gives the same positions


def run_evaluation(settings: EvalSettings, display: StageDisplay) -> dict[str, Any]:
    """Score the models one after the other; returns the document that `--json` prints. Raises SubmodelError."""
    started = time.perf_counter()
    candidates = find_candidates(list(settings.models), settings.repository / ".submodel")
    scoring = ScoringSettings(positions=settings.positions, blocks=settings.blocks, seed=settings.seed + 1)
    with display.stage("read the repository"):
        corpus = read_corpus(settings.repository)
        files, changed = still_held_out(corpus.files, files_held_out_from(candidates))
        held_out = make_held_out(files, scoring)
    if changed:
        display.say(f"{changed} held-out files are new or changed since the build, which may have read them: left out")
    dtype = fastest_dtype()
    base = base_of(candidates, settings.base)
    scores: list[Scores] = []
    stages = []
    for candidate in candidates:
        began = time.perf_counter()
        name = f"score {candidate.name}"
        with display.stage(name) as advance:
            scores.append(score(open_predictor(candidate, base, dtype, display.say), held_out, on_progress=advance))
        stages.append({"name": name, "seconds": round(time.perf_counter() - began, 2)})
    first, *others = scores
    return {
        "models": [one.to_json() for one in scores],
        "baselines": [one.to_json() for one in score_baselines(corpus, held_out.cuts)],
        "against": first.name,
        "against_base": {one.name: compare(one, first) for one in others},
        "stages": stages,
        "seconds": round(time.perf_counter() - started, 1),
    }


def still_held_out(files: Sequence[SourceFile], recorded: frozenset[str] | None) -> tuple[tuple[SourceFile, ...], int]:
    """The files without those held-out ones that the build may have read, and how many these are.

    recorded: SHA-256 of the texts that were held out then; None where nothing was built. Raises BuildError where no
    held-out file is left.
    """
    if recorded is None:
        return tuple(files), 0
    kept = tuple(file for file in files if file.split != "held-out" or file.sha256 in recorded)
    if not any(file.split == "held-out" for file in kept):
        raise BuildError("No file that the build held out is still as it was; run `submodel build` again, then eval.")
    return kept, len(files) - len(kept)

"""The stages that score models: each runs once for the same model and the same held-out lines (`Stages`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from builder.evaluation.held_out import HeldOut
from builder.evaluation.scoring import Scorable, score
from builder.versions import SCORING_VERSION
from contract.bundle.bundle import graph_of, read_bundle
from contract.progress import OnProgress
from submodel.build.kept_answers import KeptAnswers
from submodel.build.stages import StageRecord, Stages, hash_of
from submodel.evaluation.bundle_predictor import BundlePredictor


class ScoreStages:
    """Scores models of one build, whose other stages are `stages`."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    def score(self, name: str, model_hash: str, open_model: Callable[[], Scorable], held_out: HeldOut) -> StageRecord:
        """The scores of the model that `open_model` loads; `model_hash` tells it from others."""

        def make(advance: OnProgress) -> dict[str, Any]:
            predictor = open_model()
            record = score(predictor, held_out, on_progress=advance).to_record()
            if isinstance(predictor, KeptAnswers):
                predictor.save()
            return record | ({"milliseconds": predictor.milliseconds} if isinstance(predictor, BundlePredictor) else {})

        stage_hash = hash_of(version=SCORING_VERSION, model=model_hash, positions=held_out.fingerprint)
        return self._stages.run(name, stage_hash, make)

    def score_bundle(self, name: str, model_hash: str, bundle: Path, held_out: HeldOut) -> StageRecord:
        """Kept as long as the served graph stays the same: which precision is the fastest may change."""
        bundle_hash = hash_of(bundle=model_hash, graph=graph_of(bundle))
        return self.score(name, bundle_hash, lambda: BundlePredictor(read_bundle(bundle)), held_out)

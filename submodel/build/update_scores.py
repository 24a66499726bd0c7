"""The scores of an update: of the bundle that it finds, on held-out and on new lines, and of the one that it makes."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from builder.evaluation.held_out import HeldOut, make_held_out
from contract.console import StageDisplay
from submodel.build.build_settings import BuildSettings
from submodel.build.score_stages import ScoreStages
from submodel.build.stages import StageRecord
from submodel.build.update_plan import UpdatePlan

Records = dict[str, StageRecord]  # by the name that the update's document has for them


class UpdateScorer:
    """Scores `bundle` before and after its update by `plan`; nothing is scored where the settings ask no position."""

    def __init__(
        self, settings: BuildSettings, display: StageDisplay, stages: ScoreStages, plan: UpdatePlan, bundle: Path
    ) -> None:
        self._settings = settings
        self._display = display
        self._stages = stages
        self._plan = plan
        self._bundle = bundle

    def score_old(self, model_hash: str) -> Records:
        """The bundle that is there: on held-out lines, and on lines written since, none of which it knows.

        The update before may have scored it on the same held-out lines already.
        """
        settings = self._settings
        if settings.positions == 0:
            return {}
        scores = {}
        if self.held_out is None:
            self._display.say("No held-out file is left to score. `submodel build` holds out other files.")
        else:
            scores["held_out_before"] = self._score("score the bundle", model_hash, self.held_out)
        fim_examples = self._plan.draw_unseen(settings.scoring.seed)[: settings.positions]
        if fim_examples:
            since = HeldOut(fim_examples=fim_examples, blocks=(), excerpts=())
            scores["since"] = self._score("score new lines", model_hash, since)
        return scores

    def score_new(self, model_hash: str) -> Records:
        """The bundle that has taken its place, on held-out lines."""
        if self._settings.positions == 0 or self.held_out is None:
            return {}
        return {"held_out": self._score("score the bundle", model_hash, self.held_out)}

    def _score(self, name: str, model_hash: str, held_out: HeldOut) -> StageRecord:
        return self._stages.score_bundle(name, model_hash, self._bundle, held_out)

    @cached_property
    def held_out(self) -> HeldOut | None:
        """None if the files that were held out are gone, or have no line of code."""
        if not self._plan.has_lines("held-out"):
            return None
        return make_held_out(self._plan.corpus.files, self._settings.scoring)

"""The document of a build: what `--json` prints and the report shows. Pure functions on the stages' records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from builder.evaluation.held_out import HeldOut
from builder.evaluation.scores import Scores, compare
from submodel.build.stages import StageRecord


def score_part(records: Sequence[StageRecord], held_out: HeldOut, baselines: Sequence[Scores]) -> dict[str, Any]:
    """Rows, comparisons with the first model (the base), and each position with every model's answer."""
    scores = [scores_of(record) for record in records]
    base, *ours = scores
    return {
        "models": [one.to_json() for one in scores],
        "against_base": {one.name: compare(one, base) for one in ours},
        "baselines": [one.to_json() for one in baselines],
        # The bundle's times are in the last record, where it was scored.
        "answers": _answers(scores, held_out, records[-1].result.get("milliseconds")),
    }


def scores_of(record: StageRecord) -> Scores:
    """The scores that a stage recorded."""
    return Scores.from_record(record.result)


def stage_rows(records: Sequence[StageRecord]) -> list[Mapping[str, Any]]:
    """Names and times; those of an earlier run are marked."""
    return [{"name": one.name, "seconds": one.seconds, "is_fresh": one.is_fresh} for one in records]


def _answers(scores: Sequence[Scores], held_out: HeldOut, times: Sequence[float] | None) -> list[dict[str, Any]]:
    return [
        {
            "path": cut.file.path,
            "offset": cut.offset,
            "line": cut.file.text[: cut.offset].rpartition("\n")[2],
            "truth": cut.middle,
            "answers": {model.name: model.lines[index].answer for model in scores},
        }
        | ({"bundle_milliseconds": round(times[index], 1)} if times else {})
        for index, cut in enumerate(held_out.cuts)
    ]

"""The document of a build: what `--json` prints and the report shows, from the stages' records and folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder.artifact import read_artifact
from builder.evaluation.held_out import HeldOut
from builder.evaluation.scores import Scores, compare
from contract.bundle.bundle import read_bundle
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


def bundle_row(folder: Path) -> dict[str, Any]:
    """The row of a bundle, without the figures that were not measured."""
    bundle = read_bundle(folder, verify=False)
    size = bundle.model_path.stat().st_size
    return {"name": "bundle", "parameters": bundle.manifest["parameters"], "bytes": size}


def licence_of(model: Path) -> dict[str, str]:
    """The licence that the sub-model was made under, for the report."""
    licence = (read_artifact(model).manifest or {}).get("licence")
    return {"licence": licence} if isinstance(licence, str) else {}


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

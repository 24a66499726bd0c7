"""The document of a build: what `--json` prints and the report shows. Pure functions on the stages' records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from builder.artifact import read_artifact
from builder.evaluation.held_out import HeldOut
from builder.evaluation.scores import Scores, compare
from contract.bundle.bundle import read_bundle
from contract.documents import SUB_MODEL, AnsweredPosition, BaseFacts, Comparison, ModelRow, StageRow
from submodel.build.stages import StageRecord


class ScorePart(TypedDict):
    """The part of a report that scoring adds."""

    models: list[ModelRow]
    against_base: dict[str, Comparison]
    baselines: list[ModelRow]
    answers: list[AnsweredPosition]


def score_part(
    base: StageRecord, base_bytes: int, ours: StageRecord, held_out: HeldOut, baselines: Sequence[Scores]
) -> ScorePart:
    """Rows, the comparison of base and sub-model, and each position with the answers of both.

    base_bytes: the size of the base's files. It was scored in memory, in the format that this machine multiplies best.
    """
    scores = [replace(scores_of(base), bytes=base_bytes), scores_of(ours)]
    return {
        "models": [one.to_json() for one in scores],
        "against_base": {scores[1].name: compare(scores[1], scores[0])},
        "baselines": [one.to_json() for one in baselines],
        "answers": _answers(scores, held_out, ours.result["milliseconds"]),
    }


def base_facts(base: BaseFacts, model: Path) -> BaseFacts:
    """The base with the licence that the sub-model in the folder `model` was made under.

    The licence of a GGUF file is known only after the file was read. A build that keeps its stages does not read it.
    """
    licence = (read_artifact(model).manifest or {}).get("licence")
    return {**base, "licence": licence} if isinstance(licence, str) else base


def scores_of(record: StageRecord) -> Scores:
    """The scores that a stage recorded."""
    return Scores.from_record(record.result)


def stage_rows(records: Sequence[StageRecord]) -> list[StageRow]:
    """Names and times; those of an earlier run are marked."""
    return [{"name": one.name, "seconds": one.seconds, "is_fresh": one.is_fresh} for one in records]


def unscored(folder: Path) -> ModelRow:
    """The row of the sub-model in a bundle, without figures of quality."""
    bundle = read_bundle(folder, verify=False)
    return {"name": SUB_MODEL, "parameters": bundle.manifest["parameters"], "bytes": bundle.graph_bytes}


def _answers(scores: Sequence[Scores], held_out: HeldOut, times: Sequence[float]) -> list[AnsweredPosition]:
    return [
        {
            "path": example.file.path,
            "offset": example.offset,
            "line": example.file.text[: example.offset].rpartition("\n")[2],
            "truth": example.middle,
            "answers": {model.name: model.lines[index].answer for model in scores},
            "milliseconds": round(times[index], 1),
        }
        for index, example in enumerate(held_out.fim_examples)
    ]

"""Figures of one model, and what they are worth beside another's: everything with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from builder.evaluation.metrics import (
    difference_of,
    edit_similarity,
    is_exact,
    mean,
    ratio_of,
    share_of,
)
from contract.documents import Comparison, Figures, ModelRow
from contract.errors import EvaluationError


@dataclass(frozen=True, kw_only=True)
class ScoredAnswer:
    """A completion beside what stands in the file."""

    answer: str
    truth: str
    language: str
    file: str = ""  # its path in the repository; it stays in the stage's record

    @property
    def is_exact(self) -> bool:
        """Whether it is the truth, white space at the end aside."""
        return is_exact(self.answer, self.truth)


@dataclass(frozen=True, kw_only=True)
class ExcerptScore:
    """What a model makes of a piece of text."""

    nats: float  # negative log-likelihood, summed over its tokens
    bytes: int
    language: str
    file: str = ""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a model answered. Answers stand in the order of the positions, the same for every model."""

    name: str
    parameters: int | None = None  # None: it has none (a baseline)
    bytes: int | None = None
    lines: tuple[ScoredAnswer, ...]
    blocks: tuple[ScoredAnswer, ...] = ()
    excerpts: tuple[ExcerptScore, ...] = ()

    def to_json(self) -> ModelRow:
        """The row that `--json` promises; what was not measured is absent."""
        sizes = {"parameters": self.parameters, "bytes": self.bytes}
        row = {
            "name": self.name,
            **{key: value for key, value in sizes.items() if value is not None},
            **_figures(self.lines, self.blocks, self.excerpts),
            "languages": {
                language: _figures(
                    [answer for answer in self.lines if answer.language == language],
                    [answer for answer in self.blocks if answer.language == language],
                    [excerpt for excerpt in self.excerpts if excerpt.language == language],
                )
                for language in sorted({answer.language for answer in self.lines})
            },
        }
        return cast(ModelRow, row)

    def to_record(self) -> dict[str, Any]:
        """Everything, for a stage's record."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Scores:
        """Read what `to_record` wrote."""
        return cls(
            name=record["name"],
            parameters=record["parameters"],
            bytes=record["bytes"],
            lines=tuple(ScoredAnswer(**answer) for answer in record["lines"]),
            blocks=tuple(ScoredAnswer(**answer) for answer in record["blocks"]),
            excerpts=tuple(ExcerptScore(**excerpt) for excerpt in record["excerpts"]),
        )


def compare(ours: Scores, base: Scores) -> Comparison:
    """How `ours` stands to `base` on the same positions, in pairs; {figure: {value, low, high}}.

    The ratio is of ours over the base's. `files` is the number of files that the lines, or the snippets, are of: the
    lower of the two. Raises EvaluationError if the two were not asked the same.
    """
    has_excerpts = bool(ours.excerpts and base.excerpts)
    if _asked(ours, has_excerpts) != _asked(base, has_excerpts):
        raise EvaluationError(
            f"The figures of {ours.name} and {base.name} are of different lines, so they do not compare; "
            "score both again on the same files."
        )
    left, right = ([answer.is_exact for answer in scores.lines] for scores in (ours, base))
    files = [answer.file for answer in ours.lines]
    difference = difference_of(left, right, files).to_json()
    figures: Comparison = {"exact_match_difference": difference, "files": len(set(files))}
    if has_excerpts:
        excerpt_files = [excerpt.file for excerpt in ours.excerpts]
        own, other = ([excerpt.nats for excerpt in scores.excerpts] for scores in (ours, base))
        figures["bits_per_byte_ratio"] = ratio_of(own, other, excerpt_files).to_json()
        figures["files"] = min(figures["files"], len(set(excerpt_files)))
    return figures


def is_of_one_file(figures: Mapping[str, Any]) -> bool:
    """Whether all of a comparison is from one file. Then it concludes nothing about others."""
    return figures.get("files") == 1


def is_better(figures: Mapping[str, Any]) -> bool:
    """Whether a comparison shows more exact matches, beyond chance."""
    return not is_of_one_file(figures) and bool(figures["exact_match_difference"]["low"] > 0)


def is_worse(figures: Mapping[str, Any]) -> bool:
    """Whether a comparison shows a loss: fewer exact matches or more bits a byte, beyond chance.

    The interval of exact matches is below 0 only if an exact sign test of the lines that differ has p < 0.05, too.
    """
    if is_of_one_file(figures):
        return False
    bits = figures.get("bits_per_byte_ratio")
    return bool(figures["exact_match_difference"]["high"] < 0 or (bits is not None and bits["low"] > 1))


def _asked(scores: Scores, has_excerpts: bool) -> tuple[list[tuple[str, str]], list[int]]:
    """Return what scores know of the questions: truths with their files, and the sizes of the excerpts."""
    sizes = [excerpt.bytes for excerpt in scores.excerpts] if has_excerpts else []
    return [(answer.file, answer.truth) for answer in scores.lines], sizes


def _figures(
    lines: Sequence[ScoredAnswer], blocks: Sequence[ScoredAnswer], excerpts: Sequence[ExcerptScore]
) -> Figures:
    figures: Figures = {}
    if excerpts:
        bits = sum(excerpt.nats for excerpt in excerpts) / math.log(2)
        figures["bits_per_byte"] = bits / sum(excerpt.bytes for excerpt in excerpts)
    if lines:
        interval = share_of([line.is_exact for line in lines], [line.file for line in lines])
        figures |= {
            "fim_exact_match": interval.value,
            "fim_exact_match_interval": [interval.low, interval.high],
            "fim_edit_similarity": mean([edit_similarity(line.answer, line.truth) for line in lines]),
            "positions": len(lines),
        }
    if blocks:
        figures |= {
            "fim_multi_line_exact_match": mean([block.is_exact for block in blocks]),
            "fim_multi_line_edit_similarity": mean([edit_similarity(block.answer, block.truth) for block in blocks]),
            "multi_line_positions": len(blocks),
        }
    return figures

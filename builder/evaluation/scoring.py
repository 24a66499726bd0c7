"""Scoring on held-out files: bits per byte of their text, and one-line completions at held-out cuts.

Everything is given as text and turned into tokens by each model's own tokenizer, so that models with different
vocabularies compare. Nothing here runs a model: that is a `Predictor`'s part.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from builder.corpus.corpus import SourceFile
from builder.cuts import Cut, cut_files
from builder.errors import CorpusError
from builder.evaluation.metrics import bootstrap, edit_similarity, is_exact, mean
from builder.prompt import PromptEncoder


class Predictor(Protocol):
    """A model that can be scored."""

    name: str
    parameters: int
    bytes: int
    encoder: PromptEncoder

    def nats(self, ids: Sequence[int]) -> float:
        """Negative log-likelihood of ids[1:] given what precedes each, summed, in nats."""

    def complete_lines(self, prompts: Sequence[Sequence[int]], on_done: Callable[[int], None]) -> list[str]:
        """Greedy continuation of each prompt up to the end of the line; on_done(n) after each n further prompts."""


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """How much is scored."""

    positions: int = 200  # a 95 % interval of about ± 7 points
    excerpts: int = 10
    excerpt_chars: int = 1200
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What every model is asked."""

    cuts: tuple[Cut, ...]
    excerpts: tuple[str, ...]  # pieces of held-out files, each from the start of a line


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Figures of one model. `answers` stand in the order of the cuts."""

    name: str
    parameters: int
    bytes: int
    bits_per_byte: float
    answers: tuple[str, ...]
    truths: tuple[str, ...]

    @property
    def exact(self) -> list[bool]:
        """Whether each answer is the truth."""
        return [is_exact(answer, truth) for answer, truth in zip(self.answers, self.truths, strict=True)]

    def to_json(self) -> dict[str, Any]:
        """The row that `--json` promises, with the interval of the exact match."""
        exact = self.exact
        similarity = [edit_similarity(a, t) for a, t in zip(self.answers, self.truths, strict=True)]
        interval = bootstrap(lambda indices: mean([exact[i] for i in indices]), len(exact))
        return {
            "name": self.name,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "bits_per_byte": self.bits_per_byte,
            "fim_exact_match": interval.value,
            "fim_exact_match_interval": [interval.low, interval.high],
            "fim_edit_similarity": mean(similarity),
            "positions": len(exact),
        }


def make_held_out(files: Sequence[SourceFile], settings: ScoringSettings) -> HeldOut:
    """Cuts and excerpts from the held-out code files; raises CorpusError where they hold no line of code."""
    held_out = [file for file in files if file.split == "held-out" and file.is_code]
    cuts = cut_files(held_out, settings.positions, settings.seed)
    if not cuts:
        raise CorpusError("The held-out part of the repository has no line of code to score on; add code files.")
    excerpts = [
        file.text[start : start + settings.excerpt_chars]
        for file in held_out
        for start in _excerpt_starts(file.text, settings.excerpt_chars)
    ]
    random.Random(settings.seed).shuffle(excerpts)
    return HeldOut(cuts=cuts, excerpts=tuple(excerpts[: settings.excerpts]))


def _excerpt_starts(text: str, size: int) -> list[int]:
    starts, position = [], 0
    while position < len(text):
        if text[position : position + size].strip():
            starts.append(position)
        newline = text.find("\n", position + size)
        position = newline + 1 if newline >= 0 else len(text)
    return starts


def score(predictor: Predictor, held_out: HeldOut, *, on_progress: Callable[[int, int], None] | None = None) -> Scores:
    """Score one model. on_progress(done, total) counts cuts and excerpts together."""
    encoder = predictor.encoder
    total = len(held_out.cuts) + len(held_out.excerpts)
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        if on_progress is not None:
            on_progress(done, total)

    nats = 0.0
    newline = encoder.text_ids("\n")  # something to stand on, the same for every model, not scored
    for excerpt in held_out.excerpts:
        nats += predictor.nats([newline[-1], *encoder.text_ids(excerpt)])
        step(1)
    size = sum(len(excerpt.encode()) for excerpt in held_out.excerpts)
    answers = predictor.complete_lines([encoder.encode(cut.window(encoder.form)) for cut in held_out.cuts], step)
    return Scores(
        name=predictor.name,
        parameters=predictor.parameters,
        bytes=predictor.bytes,
        bits_per_byte=nats / math.log(2) / size,
        answers=tuple(answers),
        truths=tuple(cut.middle for cut in held_out.cuts),
    )


def exact_match_ratio(scores: Scores, base: Scores) -> dict[str, float] | None:
    """Exact match over the base's, with the paired bootstrap interval; None where the base never matches."""
    ours, theirs = scores.exact, base.exact
    if not any(theirs):
        return None
    floor = 1 / len(theirs)  # a draw without any match of the base has no ratio; it counts as one match
    ratio = bootstrap(
        lambda drawn: mean([ours[i] for i in drawn]) / max(mean([theirs[i] for i in drawn]), floor), len(ours)
    )
    return ratio.to_json()

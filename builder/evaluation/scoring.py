"""Scoring on held-out files: bits per byte of their text, and completions at held-out FIM examples.

Everything is given as text and turned into tokens by each model's own tokenizer, so that models with different
vocabularies compare. Nothing here runs a model: that is a `Scorable`'s part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from builder.evaluation.held_out import HeldOut
from builder.evaluation.scores import ExcerptScore, ScoredAnswer, Scores
from builder.fim_examples import MAX_BLOCK_LINES, FimExample
from contract.progress import OnProgress, no_progress
from contract.prompt import PromptEncoder

EXAMPLE_WORK, EXCERPT_WORK = 7, 3  # an example has a whole window, an excerpt some four hundred tokens


class Scorable(Protocol):
    """A model that can be scored on held-out files."""

    name: str
    parameters: int
    bytes: int
    encoder: PromptEncoder

    def nats(self, ids: Sequence[int]) -> float:
        """Negative log-likelihood of ids[1:] given what precedes each, summed, in nats."""

    def complete(
        self, prompts: Sequence[Sequence[int]], on_done: Callable[[int], None], *, lines: int, starts: Sequence[str]
    ) -> list[str]:
        """Greedy continuation of each prompt, at most `lines` lines; on_done(n) after each n further prompts.

        starts: what the server makes each answer begin with. A predictor that can't do that leaves it to the model.
        """


def score(predictor: Scorable, held_out: HeldOut, *, on_progress: OnProgress = no_progress) -> Scores:
    """Score one model. on_progress(done, total) counts examples and excerpts together, by how long they take."""
    encoder = predictor.encoder
    total = EXAMPLE_WORK * (len(held_out.fim_examples) + len(held_out.blocks)) + EXCERPT_WORK * len(held_out.excerpts)
    done = 0

    def step(count: int, work: int = EXAMPLE_WORK) -> None:
        nonlocal done
        done += count * work
        on_progress(done, total)

    def mend(example: FimExample, start: str, answer: str) -> str:
        if encoder.drops_indentation:
            return without_indentation(answer, example.text[: example.offset])
        return answer[len(start) :] if answer.startswith(start) else ""

    def ask(fim_examples: Sequence[FimExample], lines: int) -> tuple[ScoredAnswer, ...]:
        asked = [example if encoder.drops_indentation else example.as_served(encoder) for example in fim_examples]
        starts = [one.text[served.offset : one.offset] for one, served in zip(fim_examples, asked, strict=True)]
        prompts = [example.prompt(encoder) for example in asked]
        answers = predictor.complete(prompts, step, lines=lines, starts=starts) if prompts else []
        return tuple(
            ScoredAnswer(
                answer=_as_long_as(example.middle, mend(example, start, answer)),
                truth=example.middle,
                language=example.file.language,
                file=example.file.path,
            )
            for example, start, answer in zip(fim_examples, starts, answers, strict=True)
        )

    excerpts = []
    for excerpt in held_out.excerpts:
        nats = predictor.nats(encoder.snippet_ids(excerpt.text))  # its first token is not scored
        size = len(excerpt.text.encode())
        excerpts.append(ExcerptScore(nats=nats, bytes=size, language=excerpt.language, file=excerpt.path))
        step(1, EXCERPT_WORK)
    return Scores(
        name=predictor.name,
        parameters=predictor.parameters,
        bytes=predictor.bytes,
        lines=ask(held_out.fim_examples, 1),
        blocks=ask(held_out.blocks, MAX_BLOCK_LINES),
        excerpts=tuple(excerpts),
    )


def _as_long_as(truth: str, answer: str) -> str:
    """As many lines as the truth has: what a model would write after them is another question."""
    return "\n".join(answer.split("\n")[: truth.count("\n") + 1])


def without_indentation(answer: str, before: str) -> str:
    """The answer without as many blanks as stand before the cursor in its line, where nothing else does."""
    start = before.rpartition("\n")[2]
    if start.strip():
        return answer
    blanks = len(answer) - len(answer.lstrip(" \t"))
    return answer[min(blanks, len(start)) :]

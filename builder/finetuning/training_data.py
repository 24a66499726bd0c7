"""What fine-tuning learns from: FIM examples of the calibration files, one a step, and the weight of each token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count, islice, takewhile

import torch

from builder.corpus.corpus import SourceFile
from builder.finetuning.finetune_settings import FinetuneSettings
from builder.learning_examples import Example, make_examples
from contract.prompt import PromptEncoder

# Of a pass; a night on two cores reads some eight million. Of more code each pass draws other lines.
MOST_TOKENS = 1_000_000


class Pass:
    """The examples of one pass, each made when it is asked for: all of a large repository take many seconds."""

    def __init__(self, examples: Iterator[Example]) -> None:
        self._made: list[Example] = []
        self._rest = examples

    def find(self, place: int) -> Example | None:
        """Return the example at a place; None beyond the last one."""
        self._made += islice(self._rest, max(0, place + 1 - len(self._made)))
        return self._made[place] if place < len(self._made) else None

    def all(self) -> Sequence[Example]:
        """Return all examples."""
        self._made += self._rest
        return self._made


class Material:
    """The training sequences in their order, each pass over the files with other examples, and those to validate on.

    `validation` is empty, or there is no first step, where the files hold no line of code.
    """

    def __init__(self, files: Sequence[SourceFile], encoder: PromptEncoder, settings: FinetuneSettings) -> None:
        self._encoder, self._settings = encoder, settings
        self._files = [file for file in files if file.split == "calibration"]
        to_validate = [file for file in files if file.split == "validation"]
        self.validation = tuple(make_examples(to_validate, encoder, settings.validation_tokens, settings.seed))
        self._passes: list[Pass] = []

    @cached_property
    def _tokens(self) -> int:
        """Of the code, MOST_TOKENS or a few more at most."""
        found = 0
        for file in self._files:
            if file.is_code and found < MOST_TOKENS:
                found += len(self._encoder.text_ids(file.text))
        return found

    def _pass(self, number: int) -> Pass:
        while len(self._passes) <= number:
            seed = self._settings.seed + 1000 * (len(self._passes) + 1)
            self._passes.append(Pass(make_examples(self._files, self._encoder, self._tokens, seed)))
        return self._passes[number]

    def has_step(self, step: int) -> bool:
        """Whether `max_passes` have that many steps. Of the first pass as many are made as tell."""
        return self._pass(0).find(step // self._settings.max_passes) is not None

    def steps_from(self, first: int) -> Iterator[int]:
        """The numbers of the steps that `max_passes` have, from `first` on."""
        return takewhile(self.has_step, count(first))

    def example(self, step: int) -> Example:
        """What one step learns from: of so few tokens more steps teach more than larger ones (dev/LOG.md)."""
        if (found := self._pass(0).find(step)) is not None:
            return found
        number, place = divmod(step, len(self._pass(0).all()))
        one = self._pass(number)
        return one.find(place) or one.all()[place % len(one.all())]

    def weights(self, batch: Sequence[Example]) -> torch.Tensor:
        """What each token counts but the first of each sequence, one sequence behind the other, (tokens,)."""
        return torch.cat([token_weights(example, self._settings.middle_weight) for example in batch])


def token_weights(example: Example, middle_weight: float) -> torch.Tensor:
    """What each token but the first counts in training, (tokens − 1,): those after the prompt count more."""
    weights = torch.ones(len(example.ids) - 1)
    weights[max(example.prompt_tokens - 1, 0) :] = middle_weight
    return weights

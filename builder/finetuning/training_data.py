"""What a recovery learns from: packed cuts of the calibration files, and what each of their tokens counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from builder.calibration import Example, make_examples, make_sequences
from builder.corpus.corpus import SourceFile
from builder.finetuning.finetune_settings import RecoverySettings
from contract.prompt import PromptEncoder

Step = Sequence[Example]
T = TypeVar("T")


class Material:
    """The training sequences in their order, each pass over the files with other cuts, and those to validate on.

    `validation` is empty, or `first`, the first pass, where the files hold no line of code.
    """

    def __init__(self, files: Sequence[SourceFile], encoder: PromptEncoder, settings: RecoverySettings) -> None:
        parts = {name: [file for file in files if file.split == name] for name in ("calibration", "validation")}
        self.validation = make_sequences(parts["validation"], encoder, settings.validation_tokens, settings.seed)
        self._files, self._encoder, self._settings = parts["calibration"], encoder, settings
        self._pass_tokens = sum(len(encoder.text_ids(file.text)) for file in self._files if file.is_code)
        self._passes: list[tuple[Step, ...]] = []
        self.first = self._pass(0)
        self.most_steps = max(1, len(self.first) * settings.max_passes)

    def _pass(self, number: int) -> tuple[Step, ...]:
        while len(self._passes) <= number:
            seed = self._settings.seed + 1000 * (len(self._passes) + 1)
            examples = make_examples(self._files, self._encoder, self._pass_tokens, seed)
            self._passes.append(tuple(in_steps(examples, self._settings.tokens_a_step, lambda one: len(one.ids))))
        return self._passes[number]

    def batch(self, step: int) -> Step:
        """What one step learns from."""
        number, place = divmod(step, len(self.first))
        steps = self._pass(number)
        return steps[place % len(steps)]

    def weights(self, batch: Sequence[Example]) -> torch.Tensor:
        """What each token of a step counts but the first of each sequence, one sequence behind the other, (tokens,)."""
        return torch.cat([token_weights(example, self._settings.middle_weight) for example in batch])


def token_weights(example: Example, middle_weight: float) -> torch.Tensor:
    """What each token but the first counts in training, (tokens − 1,): those after the prompt more."""
    weights = torch.ones(len(example.ids) - 1)
    weights[max(example.prompt_tokens - 1, 0) :] = middle_weight
    return weights


def in_steps(sequences: Sequence[T], tokens: int, length: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """The sequences in their order, in groups that each reach `tokens` tokens with their last one."""
    group: list[T] = []
    count = 0
    for sequence in sequences:
        group.append(sequence)
        count += length(sequence)
        if count >= tokens:
            yield group
            group, count = [], 0
    if group:
        yield group

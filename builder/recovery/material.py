"""What a recovery learns from: packed cuts of the calibration files, and what each of their tokens counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from builder.calibration import make_sequences
from builder.corpus.corpus import SourceFile
from builder.prompt import PromptEncoder
from builder.recovery.settings import RecoverySettings

Ids = Sequence[int]


class Material:
    """The training sequences in their order, each pass over the files with other cuts, and those to validate on.

    `validation` is empty, or `first`, the first pass, where the files hold no line of code.
    """

    def __init__(self, files: Sequence[SourceFile], encoder: PromptEncoder, settings: RecoverySettings) -> None:
        parts = {name: [file for file in files if file.split == name] for name in ("calibration", "validation")}
        self.validation = make_sequences(parts["validation"], encoder, settings.validation_tokens, settings.seed)
        self._files, self._encoder, self._settings = parts["calibration"], encoder, settings
        self._pass_tokens = sum(len(encoder.text_ids(file.text)) for file in self._files if file.is_code)
        self._passes: list[tuple[tuple[int, ...], ...]] = []
        self._a_step = settings.sequences_a_step
        self.first = self._pass(0)
        self.most_steps = max(1, len(self.first) * settings.max_passes // self._a_step)

    def _pass(self, number: int) -> tuple[tuple[int, ...], ...]:
        while len(self._passes) <= number:
            seed = self._settings.seed + 1000 * (len(self._passes) + 1)
            self._passes.append(make_sequences(self._files, self._encoder, self._pass_tokens, seed))
        return self._passes[number]

    def batch(self, step: int) -> list[tuple[int, ...]]:
        """The sequences of one step."""
        size = len(self.first)
        chosen = range(step * self._a_step, (step + 1) * self._a_step)
        return [sequences[i % len(sequences)] for i in chosen if (sequences := self._pass(i // size))]

    def weights(self, batch: Sequence[Ids]) -> torch.Tensor:
        """What each token of a step counts but the first of each sequence, one sequence behind the other, (tokens,)."""
        middle_id, weight = self._encoder.middle_id, self._settings.middle_weight
        return torch.cat([token_weights(ids, middle_id, weight) for ids in batch])


def token_weights(ids: Ids, middle_id: int | None, middle_weight: float) -> torch.Tensor:
    """What each of ids[1:] counts in training, (tokens − 1,): those after the token `middle_id` more."""
    weights = torch.ones(len(ids) - 1)
    if middle_id is not None and middle_id in ids:  # not in plain text
        middle = len(ids) - 1 - list(reversed(ids)).index(middle_id)
        weights[middle:] = middle_weight  # that is ids[middle + 1:]
    return weights

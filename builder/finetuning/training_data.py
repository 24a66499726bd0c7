"""What fine-tuning learns from: FIM examples of the calibration files, one a step, and the weight of each token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count, islice, takewhile
from typing import TypeVar

import torch

from builder.corpus.corpus import SourceFile
from builder.finetuning.finetune_settings import FinetuneSettings
from builder.learning_examples import Example, IsNew, make_examples
from contract.prompt import PromptEncoder

T = TypeVar("T")

# Of an update's tokens, from files that are known already: against forgetting them. Not fitted to anything.
OLD_SHARE = 0.3
# What a token of a new line counts beside the others of a changed file.
NEW_WEIGHT = 3.0
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

    `validation` is empty, or there is no first step, where the files hold no line of code. `fresh` are the paths of an
    update: the files that the model hasn't learned from. They come first in validation. A pass shows each line of them
    that `is_new` once, and such lines count more. The rest of the pass, OLD_SHARE, is of the other files.
    """

    def __init__(
        self,
        files: Sequence[SourceFile],
        encoder: PromptEncoder,
        settings: FinetuneSettings,
        fresh: frozenset[str] = frozenset(),
        is_new: IsNew | None = None,
    ) -> None:
        parts = {name: [file for file in files if file.split == name] for name in ("calibration", "validation")}
        self._encoder, self._settings, self._is_new = encoder, settings, is_new
        self.validation = self._validation(*_parted(parts["validation"], fresh))
        self._fresh, self._old = _parted(parts["calibration"], fresh)
        self._passes: list[Pass] = []

    def _validation(self, fresh: Sequence[SourceFile], old: Sequence[SourceFile]) -> tuple[Example, ...]:
        """Examples of the fresh files, then of the old ones if those hold too few lines."""
        tokens, seed = self._settings.validation_tokens, self._settings.seed
        first = tuple(make_examples(fresh, self._encoder, tokens, seed, is_new=self._is_new))
        left = max(0, tokens - sum(len(example.ids) for example in first))
        return (*first, *make_examples(old, self._encoder, left, seed))

    @cached_property
    def _tokens(self) -> int:
        """Of the code, MOST_TOKENS or a few more at most. An update needs no such number."""
        found = 0
        for file in self._old:
            if file.is_code and found < MOST_TOKENS:
                found += len(self._encoder.text_ids(file.text))
        return found

    def _pass(self, number: int) -> Pass:
        while len(self._passes) <= number:
            seed = self._settings.seed + 1000 * (len(self._passes) + 1)
            self._passes.append(Pass(self._examples(seed)))
        return self._passes[number]

    def _examples(self, seed: int) -> Iterator[Example]:
        if not self._fresh:
            return make_examples(self._old, self._encoder, self._tokens, seed)
        # Windows overlap: those that show each new line may have more tokens than the files.
        fresh = tuple(make_examples(self._fresh, self._encoder, MOST_TOKENS, seed, is_new=self._is_new, covers=True))
        old_tokens = round(sum(len(example.ids) for example in fresh) * OLD_SHARE / (1 - OLD_SHARE))
        return iter(interleave(fresh, tuple(make_examples(self._old, self._encoder, old_tokens, seed))))

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

    def paths_before(self, step: int) -> frozenset[str]:
        """The files that the steps before this one have read from."""
        return frozenset(self.example(number).path for number in range(step))

    def weights(self, batch: Sequence[Example]) -> torch.Tensor:
        """What each token counts but the first of each sequence, one sequence behind the other, (tokens,)."""
        return torch.cat([token_weights(example, self._settings.middle_weight) for example in batch])


def interleave(one: Sequence[T], other: Sequence[T]) -> list[T]:
    """Both in their order, each spread evenly over the whole; `other` alone if `one` is empty."""
    placed = [((index + 0.5) / len(part), item) for part in (one, other) for index, item in enumerate(part)]
    return [item for _, item in sorted(placed, key=lambda place: place[0])]


def _parted(files: Sequence[SourceFile], fresh: frozenset[str]) -> tuple[list[SourceFile], list[SourceFile]]:
    """The fresh files and the others, in their order."""
    return [file for file in files if file.path in fresh], [file for file in files if file.path not in fresh]


def token_weights(example: Example, middle_weight: float) -> torch.Tensor:
    """What each token but the first counts in training, (tokens − 1,): those after the prompt and of new lines more."""
    weights = torch.ones(len(example.ids) - 1)
    weights[max(example.prompt_tokens - 1, 0) :] = middle_weight
    if example.new:
        weights[torch.tensor(example.new[1:], dtype=torch.bool)] *= NEW_WEIGHT
    return weights

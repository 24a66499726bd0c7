"""Calibration: the token sequences on whose activations the pruning decides.

They have the form that the server sends (`contract.prompt`): fill-in-the-middle prompts followed by their middles where
the base knows that form, plain text up to the end of the line where it does not. Sequences are not padded, so that no
padding enters the statistics.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from builder.corpus.corpus import SourceFile
from builder.fim_examples import FimExample, draw_fim_examples, draw_mixed_examples
from contract.documents import CalibrationFacts
from contract.errors import CorpusError
from contract.prompt import PromptEncoder
from contract.repository.languages import Kind

PLAIN_EVERY = 8  # plain text keeps the model able to write on without a suffix
SPREAD_CHARS = 1024  # that middles of one file lie apart, as long as there is room
# A share of the examples has a window of a quarter: it gives more middles for the same tokens.
SHORT_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """How much is read."""

    tokens: int = 12_288
    # Wider layers have more to fit: `at_least_for` raises `tokens` to this. A doubling takes a tenth off what is lost.
    tokens_per_channel: int = 4
    validation_tokens: int = 2_048  # enough to tell ridges apart
    seed: int = 0

    def at_least_for(self, channels: int) -> CalibrationSettings:
        """The same with tokens enough for feed-forward layers of `channels` channels."""
        return replace(self, tokens=max(self.tokens, self.tokens_per_channel * channels))


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """Token ids, a tuple a sequence; the two parts come from different files."""

    calibration: tuple[tuple[int, ...], ...]
    validation: tuple[tuple[int, ...], ...]
    prompt_format: str  # "fill-in-the-middle" or "prefix"

    def summary(self) -> CalibrationFacts:
        """For the manifest."""
        return {
            "prompt_format": self.prompt_format,
            "sequences": len(self.calibration),
            "tokens": sum(map(len, self.calibration)),
            "longest_sequence": max(map(len, self.calibration)),
            "validation_sequences": len(self.validation),
            "validation_tokens": sum(map(len, self.validation)),
        }


def make_calibration_set(
    files: Sequence[SourceFile], encoder: PromptEncoder, settings: CalibrationSettings
) -> CalibrationSet:
    """Sample sequences from the calibration and validation files of a corpus, never from its held-out ones."""
    parts = {
        split: make_sequences([f for f in files if f.split == split], encoder, tokens, settings.seed)
        for split, tokens in (("calibration", settings.tokens), ("validation", settings.validation_tokens))
    }
    for split, sequences in parts.items():
        if not sequences:
            raise CorpusError(f"The {split} part of the repository has no line of code to learn from; add code files.")
    return CalibrationSet(
        calibration=parts["calibration"],
        validation=parts["validation"],
        prompt_format="fill-in-the-middle" if encoder.prompt_format.is_fim else "prefix",
    )


@dataclass(frozen=True, kw_only=True)
class Example:
    """A sequence to learn from: token ids, and how many of them are its prompt (all where no middle is asked for)."""

    ids: tuple[int, ...]
    prompt_tokens: int


def make_sequences(
    files: Sequence[SourceFile], encoder: PromptEncoder, tokens: int, seed: int, *, kind: Kind = "code"
) -> tuple[tuple[int, ...], ...]:
    """The token ids of `make_examples`."""
    return tuple(example.ids for example in make_examples(files, encoder, tokens, seed, kind=kind))


def make_examples(
    files: Sequence[SourceFile],
    encoder: PromptEncoder,
    tokens: int,
    seed: int,
    *,
    kind: Kind = "code",
    is_first: Callable[[FimExample], bool] | None = None,
) -> tuple[Example, ...]:
    """Prompts of random FIM examples, each with its middle and what ends it; `tokens` tokens or a few more.

    One in PLAIN_EVERY is the same text as it stands in the file. Fewer where the files have no more lines. `kind`: of
    the files that count. A SHORT_SHARE of the windows has a quarter of the length. Examples that lie close together
    come last. With `is_first` all that are come before those that are not, up to `tokens` lines of them.
    """
    examples: list[Example] = []
    count = 0
    rng = random.Random(seed)
    prompt_format = encoder.prompt_format
    short = prompt_format.with_window(
        max(1, prompt_format.max_prefix_tokens // 4), prompt_format.max_suffix_tokens // 4
    )
    fim_examples = draw_mixed_examples(
        files, tokens, seed, kind=kind
    )  # at least one token a sequence, so there are enough
    ordered = [fim_examples]
    if is_first is not None:
        every_line = draw_fim_examples(files, tokens, seed, kind=kind)  # the mixed ones leave lines out
        first = dict.fromkeys(example for example in (*fim_examples, *every_line) if is_first(example))
        ordered = [tuple(first), tuple(example for example in fim_examples if example not in first)]
    for drawn in chain.from_iterable(_spread(part, SPREAD_CHARS) for part in ordered):
        if count >= tokens:
            break
        example = drawn.as_served(encoder)
        window = encoder.window(example.text, example.offset, short if rng.random() < SHORT_SHARE else None)
        if len(examples) % PLAIN_EVERY == PLAIN_EVERY - 1:
            prompt, answer = encoder.left_to_right(window.prefix + example.middle + window.suffix), []
        else:
            prompt, answer = encoder.encode(window), [*encoder.text_ids(example.middle), *encoder.end_ids()]
        ids = (*prompt, *answer)
        examples.append(Example(ids=ids, prompt_tokens=len(prompt) if encoder.prompt_format.is_fim else len(ids)))
        count += len(ids)
    return tuple(examples)


def _spread(fim_examples: Sequence[FimExample], distance: int) -> list[FimExample]:
    """The same examples, those first that lie at least `distance` characters from each earlier one in their file.

    Windows that overlap repeat each other's tokens, and teach less for the same time.
    """
    first: list[FimExample] = []
    rest: list[FimExample] = []
    taken: dict[str, list[int]] = {}
    for example in fim_examples:
        offsets = taken.setdefault(example.file.path, [])
        place = bisect(offsets, example.offset)
        is_apart = all(abs(example.offset - near) >= distance for near in offsets[max(place - 1, 0) : place + 1])
        (first if is_apart else rest).append(example)
        if is_apart:
            offsets.insert(place, example.offset)
    return first + rest

"""Learning examples: prompts of lines of a repository with their middles, as token ids.

They have the form that the server sends (`contract.prompt`): fill-in-the-middle prompts followed by their middles where
the base knows that form, plain text up to the end of the line where it does not. Pruning calibrates on them, and
fine-tuning learns from them. Sequences are not padded, so that no padding enters the statistics.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from builder.corpus.corpus import SourceFile
from builder.fim_examples import FimExample, draw_mixed_examples
from contract.prompt import PromptEncoder, PromptFormat
from contract.repository.languages import Kind

PLAIN_EVERY = 8  # plain text keeps the model able to write on without a suffix
SPREAD_CHARS = 1024  # that middles of one file lie apart, as long as there is room
# A share of the examples has a window of a quarter: it gives more middles for the same tokens.
SHORT_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
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
) -> Iterator[Example]:
    """Prompts of random FIM examples, each with its middle and what ends it; `tokens` tokens or a few more.

    One in PLAIN_EVERY is the same text as it stands in the file. Fewer where the files have no more lines. `kind`: of
    the files that count. A SHORT_SHARE of the windows has a quarter of the length. Examples that lie close together
    come last. Each is made when it is asked for: a million tokens take several seconds.
    """
    rng = random.Random(seed)
    whole = encoder.prompt_format
    short = whole.with_window(max(1, whole.max_prefix_tokens // 4), whole.max_suffix_tokens // 4)
    mixed = draw_mixed_examples(files, tokens, seed, kind=kind)  # a sequence has a token at least: these are enough
    made = count = 0
    for chosen in _spread(mixed, SPREAD_CHARS):
        prompt_format = short if rng.random() < SHORT_SHARE else whole
        if count >= tokens:
            break
        example = _render(encoder, chosen, prompt_format, is_plain=made % PLAIN_EVERY == PLAIN_EVERY - 1)
        if len(example.ids) < 2:  # nothing stands before its token
            continue
        yield example
        made, count = made + 1, count + len(example.ids)


def _render(encoder: PromptEncoder, chosen: FimExample, prompt_format: PromptFormat, *, is_plain: bool) -> Example:
    """The token ids of an example: the prompt that the server sends with the middle behind it, or plain text."""
    example = chosen.as_served(encoder)
    window = encoder.window(example.text, example.offset, prompt_format)
    answer: list[int] = []
    if is_plain:
        path = encoder.path_ids(example.file.path)
        prompt = [*encoder.left_to_right(""), *path, *encoder.text_ids(window.prefix + example.middle + window.suffix)]
    else:
        prompt = encoder.encode(window, path=example.file.path)
        answer = [*encoder.text_ids(example.middle), *encoder.end_ids()]
    ids = (*prompt, *answer)
    return Example(ids=ids, prompt_tokens=len(prompt) if encoder.prompt_format.is_fim else len(ids))


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

"""Learning examples: prompts of lines of a repository with their middles, as token ids.

They have the form that the server sends (`contract.prompt`): fill-in-the-middle prompts followed by their middles where
the base knows that form, plain text up to the end of the line where it does not. Pruning calibrates on them, and
fine-tuning learns from them. Sequences are not padded, so that no padding enters the statistics.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from builder.corpus.corpus import SourceFile
from builder.coverage import Drawn, by_coverage
from builder.fim_examples import FimExample, draw_fim_examples, draw_mixed_examples
from contract.prompt import PromptEncoder, PromptFormat, PromptPart
from contract.repository.languages import Kind

PLAIN_EVERY = 8  # plain text keeps the model able to write on without a suffix
SPREAD_CHARS = 1024  # that middles of one file lie apart, as long as there is room
# A share of the examples has a window of a quarter: it gives more middles for the same tokens.
SHORT_SHARE = 0.5

# Whether a line of a file is new to a model, as far as anybody knows; the line comes without the white space around it.
IsNew = Callable[[SourceFile, str], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A sequence to learn from: token ids, and how many of them are its prompt (all where no middle is asked for).

    `new` says of each token whether it is of a new line; it is empty where that was not asked. `path`: of its file.
    """

    ids: tuple[int, ...]
    prompt_tokens: int
    path: str = ""
    new: tuple[bool, ...] = ()


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
    is_new: IsNew | None = None,
    covers: bool = False,
) -> Iterator[Example]:
    """Prompts of random FIM examples, each with its middle and what ends it; `tokens` tokens or a few more.

    One in PLAIN_EVERY is the same text as it stands in the file. Fewer where the files have no more lines. `kind`: of
    the files that count. A SHORT_SHARE of the windows has a quarter of the length. Examples that lie close together
    come last. With `is_new` those at new lines come before the others, up to `tokens` of them. If it `covers`, only
    as many are made as show each new line once (`by_coverage`), and each line of a file in which none is known as new.
    Each is made when it is asked for: a million tokens take several seconds.
    """
    made = count = 0
    for chosen, prompt_format in _choose(files, encoder, tokens, seed, kind, is_new, covers):
        if count >= tokens:
            break
        example = _render(encoder, chosen, prompt_format, is_new, is_plain=made % PLAIN_EVERY == PLAIN_EVERY - 1)
        if len(example.ids) < 2:  # nothing stands before its token
            continue
        yield example
        made, count = made + 1, count + len(example.ids)


def _choose(
    files: Sequence[SourceFile],
    encoder: PromptEncoder,
    tokens: int,
    seed: int,
    kind: Kind,
    is_new: IsNew | None,
    covers: bool,
) -> Iterator[Drawn]:
    """Which examples are made, in which order, each with the format of its window; see `make_examples`."""
    rng = random.Random(seed)
    whole = encoder.prompt_format
    short = whole.with_window(max(1, whole.max_prefix_tokens // 4), whole.max_suffix_tokens // 4)

    def with_formats(some: Iterable[FimExample]) -> Iterator[Drawn]:
        return ((example, short if rng.random() < SHORT_SHARE else whole) for example in some)

    mixed = draw_mixed_examples(files, tokens, seed, kind=kind)  # a sequence has a token at least: these are enough
    if is_new is None:
        return with_formats(_spread(mixed, SPREAD_CHARS))
    every_line = draw_fim_examples(files, tokens, seed, kind=kind)  # the mixed ones leave lines out
    both = (*mixed, *every_line)
    first = dict.fromkeys(example for example in both if is_new(example.file, example.line))
    if covers:
        paths = {example.file.path for example in first}
        first |= dict.fromkeys(example for example in both if example.file.path not in paths)
        return by_coverage(tuple(with_formats(first)), seed)
    others = [example for example in mixed if example not in first]
    return with_formats(chain(_spread(tuple(first), SPREAD_CHARS), _spread(others, SPREAD_CHARS)))


def _render(
    encoder: PromptEncoder, chosen: FimExample, prompt_format: PromptFormat, is_new: IsNew | None, *, is_plain: bool
) -> Example:
    """The token ids of an example: the prompt that the server sends with the middle behind it, or plain text."""
    example = chosen.as_served(encoder)
    window = encoder.window(example.text, example.offset, prompt_format)
    parts: list[PromptPart]
    answer: list[PromptPart] = []
    if is_plain:
        text = window.prefix + example.middle + window.suffix
        parts = [PromptPart(ids=encoder.text_ids(text), text=text)]
    else:
        parts = encoder.parts(window)
        answer = [
            PromptPart(ids=encoder.text_ids(example.middle), text=example.middle, cut_line=0),
            PromptPart(ids=encoder.end_ids(), cut_line=0),
        ]
    head = [*encoder.left_to_right(""), *encoder.path_ids(example.file.path)]
    parts.insert(0, PromptPart(ids=head))
    ids = tuple(one for part in (*parts, *answer) for one in part.ids)
    return Example(
        ids=ids,
        prompt_tokens=sum(len(part.ids) for part in parts) if encoder.prompt_format.is_fim else len(ids),
        path=chosen.file.path,
        new=() if is_new is None else _new_tokens(encoder, (*parts, *answer), chosen, is_new),
    )


def _new_tokens(
    encoder: PromptEncoder, parts: Iterable[PromptPart], example: FimExample, is_new: IsNew
) -> tuple[bool, ...]:
    """Whether each token begins in a line that is new. Tokens without a text are not new.

    The two parts of the line that the cursor cuts, and what ends the middle, are as new as that line.
    """
    flags: list[bool] = []
    is_cut_line_new = is_new(example.file, example.line)
    for part in parts:
        if not part.text:
            flags += [part.cut_line is not None and is_cut_line_new] * len(part.ids)
            continue
        lines = part.text.split("\n")
        starts = list(accumulate((len(line) + 1 for line in lines[:-1]), initial=0))
        are_new = [is_new(example.file, line.strip()) for line in lines]
        if part.cut_line is not None:
            are_new[part.cut_line] = is_cut_line_new
        spans = encoder.tokenizer.encode(part.text, add_special_tokens=False).offsets
        flags += [are_new[bisect(starts, begin) - 1] for begin, _ in spans]
    return tuple(flags)


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

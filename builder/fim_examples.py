"""FIM examples: places in lines where a completion begins, each with the text that was there.

Calibration, fine-tuning and scoring take their positions from here, so that what a model is fitted to, judged on and
served with is one and the same thing. Blank lines, comment lines and lines with nothing but closers are left out:
nobody waits for a suggestion there.
"""

from __future__ import annotations

import hashlib
import random
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from builder.corpus.corpus import SourceFile
from contract.prompt import PromptEncoder, PromptFormat, Window
from contract.repository.languages import Kind, Language, get_language, is_comment_line

MAX_BLOCK_LINES = 6  # of a completion of several lines
MAX_LINE_CHARS = 200  # longer lines are data
PARITY_PREFIX_TOKENS, PARITY_SUFFIX_TOKENS, WHOLE_EVERY = 160, 48, 8  # of `parity_windows`
_MIN_MIDDLE = 3  # characters; shorter ends of lines are closers and commas
_WORD_STARTS = re.compile(r"\b\w|(?<=\w)\W")


@dataclass(frozen=True, kw_only=True, slots=True)
class FimExample:
    """One position: `middle` is the text from `offset` (characters) to the end of a line, without its newline."""

    file: SourceFile
    offset: int
    middle: str

    @classmethod
    def of_parts(cls, before: str, middle: str, behind: str, *, path: str, language: str = "") -> FimExample:
        """Return the example of a text that is of no corpus: what stands before, in and behind the middle."""
        text = before + middle + behind
        file = SourceFile(path=path, language=language, text=text, sha256="", split="held-out")
        return cls(file=file, offset=len(before), middle=middle)

    @property
    def text(self) -> str:
        """The file as it was before the user typed the middle."""
        return self.file.text[: self.offset] + self.file.text[self.offset + len(self.middle) :]

    @property
    def line_start(self) -> int:
        """Where the line of the position begins, in characters from the start of the file."""
        return self.file.text.rfind("\n", 0, self.offset) + 1

    def as_served(self, encoder: PromptEncoder) -> FimExample:
        """Return the example that the server makes of this one: the cursor stands before what it takes back."""
        taken = encoder.taken_back(self.text[: self.offset])
        return FimExample(file=self.file, offset=self.offset - len(taken), middle=taken + self.middle)

    def window(self, encoder: PromptEncoder, prompt_format: PromptFormat | None = None) -> Window:
        """Return the window that the server would see before the user typed the middle.

        prompt_format: by default the encoder's own.
        """
        return encoder.window(self.text, self.offset, prompt_format or encoder.prompt_format)

    def prompt(self, encoder: PromptEncoder) -> list[int]:
        """Return the token ids that the server would send before the user typed the middle."""
        return encoder.encode(self.window(encoder), path=self.file.path)


def parity_windows(fim_examples: Sequence[FimExample], encoder: PromptEncoder) -> list[Window]:
    """Windows for comparing two forms of one model: a few whole ones, the rest small.

    A graph that is right on a few whole windows and on many small ones is right; whole ones cost eight times as much.
    """
    small = encoder.prompt_format.with_window(
        min(encoder.prompt_format.max_prefix_tokens, PARITY_PREFIX_TOKENS),
        min(encoder.prompt_format.max_suffix_tokens, PARITY_SUFFIX_TOKENS),
    )
    return [
        example.window(encoder, small if index % WHOLE_EVERY else None) for index, example in enumerate(fim_examples)
    ]


def parity_prompts(fim_examples: Sequence[FimExample], encoder: PromptEncoder) -> list[tuple[list[int], list[int]]]:
    """Return for each of `parity_windows` the token ids of the prompt that the server sends, and of the middle."""
    windows = parity_windows(fim_examples, encoder)
    return [
        (encoder.encode(window, path=example.file.path), encoder.text_ids(example.middle))
        for example, window in zip(fim_examples, windows, strict=True)
    ]


def draw_fim_examples(
    files: Sequence[SourceFile], count: int, seed: int, *, kind: Kind = "code"
) -> tuple[FimExample, ...]:
    """Return up to `count` examples, spread over the code files by their number of lines; a seed fixes them.

    Half of them stand before the first character of a line's text, half at a random word within it. kind: "text"
    draws from documentation in place of code, as a control.
    """
    rng = random.Random(seed)
    fim_examples = []
    for file, start, end in _draw_lines(files, partial(worthwhile_lines, kind=kind), count, rng):
        line = file.text[start:end]
        column = draw_column(line, rng)
        fim_examples.append(FimExample(file=file, offset=start + column, middle=line[column:]))
    return tuple(fim_examples)


def _draw_lines(
    files: Sequence[SourceFile],
    find: Callable[[SourceFile], Iterable[tuple[int, int]]],
    count: int,
    rng: random.Random,
) -> Iterator[tuple[SourceFile, int, int]]:
    """Yield up to `count` of the lines that `find` finds in the files, in random order: a file, start and end.

    The lines are kept in 24 bytes each: all code of a large repository has two million.
    """
    places = array("Q")
    for number, file in enumerate(files):
        for start, end in find(file):
            places.extend((number, start, end))
    found = len(places) // 3
    for index in rng.sample(range(found), min(count, found)):
        number, start, end = places[3 * index : 3 * index + 3]
        yield files[number], start, end


def draw_lasting_examples(files: Sequence[SourceFile], count: int, seed: int) -> tuple[FimExample, ...]:
    """Return up to `count` examples as `draw_fim_examples` does, each chosen by its own line's path and text.

    So they stay the same while other lines of the files come and go, and fewer are the first of more.
    """
    found: list[tuple[bytes, SourceFile, int, str]] = []
    for file in files:
        seen: Counter[str] = Counter()
        for start, end in worthwhile_lines(file):
            line = file.text[start:end]
            key = hashlib.sha256(f"{seed}\0{file.path}\0{seen[line]}\0{line}".encode()).digest()
            seen[line] += 1
            found.append((key, file, start, line))
    fim_examples = []
    for key, file, start, line in sorted(found, key=lambda one: one[0])[:count]:
        column = draw_column(line, random.Random(key))
        fim_examples.append(FimExample(file=file, offset=start + column, middle=line[column:]))
    return tuple(fim_examples)


def draw_column(line: str, rng: random.Random) -> int:
    """Return where a line is cut: before its first character, or, half of the time, at a random word within it."""
    return _indent(line) if rng.random() >= 0.5 else _inner_column(line, rng)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _inner_column(line: str, rng: random.Random) -> int:
    """The start of a random word behind the first, or of what follows a word; the indentation if there is none."""
    indent = _indent(line)
    inner = [m.start() for m in _WORD_STARTS.finditer(line) if indent < m.start() <= len(line) - _MIN_MIDDLE]
    return rng.choice(inner) if inner else indent


def draw_mixed_examples(
    files: Sequence[SourceFile], count: int, seed: int, *, kind: Kind = "code"
) -> tuple[FimExample, ...]:
    """Return up to `count` examples of all kinds that completions and benchmarks ask for, in random order.

    Six in ten are those of `draw_fim_examples`, a seventh whole lines from column 0, a quarter blocks. The first kind
    alone makes a model that ends after each line and forgets to indent (dev/LOG.md). `FimExample.as_served` makes
    whole lines of those of the first kind that stand before a line's text, too.
    """
    lines = draw_fim_examples(files, count, seed, kind=kind)
    whole = [
        _from_column_0(example) for example in draw_fim_examples(files, round(0.15 * len(lines)), seed + 1, kind=kind)
    ]
    blocks = draw_block_examples(files, round(0.25 * len(lines)), seed + 2, kind=kind)
    chosen = [*lines[: len(lines) - len(whole) - len(blocks)], *whole, *blocks]
    random.Random(seed).shuffle(chosen)
    return tuple(chosen)


def _from_column_0(example: FimExample) -> FimExample:
    """The same line, its indentation and all."""
    start = example.line_start
    return FimExample(
        file=example.file, offset=start, middle=example.file.text[start : example.offset] + example.middle
    )


def draw_block_examples(
    files: Sequence[SourceFile], count: int, seed: int, *, kind: Kind = "code"
) -> tuple[FimExample, ...]:
    """Return up to `count` examples of 2 to MAX_BLOCK_LINES lines, each from the first character of a line's text.

    A block ends before a blank line, and before a line that is indented less than its first.
    """
    if count == 0:
        return ()
    rng = random.Random(seed)
    fim_examples = []
    for file, start, end in _draw_lines(files, partial(_first_lines, kind=kind), count, rng):
        offset = start + _indent(file.text[start:end])
        block_end = rng.choice(_block_ends(file, start, end))
        fim_examples.append(FimExample(file=file, offset=offset, middle=file.text[offset:block_end]))
    return tuple(fim_examples)


def _first_lines(file: SourceFile, kind: Kind) -> Iterator[tuple[int, int]]:
    """Start and end of the lines that blocks begin with."""
    return ((start, end) for start, end in worthwhile_lines(file, kind) if _block_ends(file, start, end))


def _block_ends(file: SourceFile, start: int, end: int) -> list[int]:
    """The ends of the second to the last line of the block that begins with this line; none if it has no second."""
    indent = _indent(file.text[start:end])
    ends: list[int] = []
    position = file.text.find("\n", end)
    while 0 <= position < len(file.text) - 1 and len(ends) < MAX_BLOCK_LINES - 1:
        newline = file.text.find("\n", position + 1)
        line = file.text[position + 1 : newline if newline >= 0 else len(file.text)]
        if not line.strip() or _indent(line) < indent or len(line) > MAX_LINE_CHARS:
            break
        ends.append(position + 1 + len(line.rstrip()))
        position = newline
    return ends


def worthwhile_lines(file: SourceFile, kind: Kind = "code") -> Iterable[tuple[int, int]]:
    """Start and end of the lines that a completion is measured on: no blank ones, no comments, no lone brackets."""
    language = get_language(file.language)
    if language.kind != kind:
        return
    start = 0
    for line in file.text.split("\n"):
        if is_worthwhile(line, language):
            yield start, start + len(line.rstrip())
        start += len(line) + 1


def is_worthwhile(line: str, language: Language) -> bool:
    """Whether somebody waits for a suggestion there."""
    text = line.strip()
    has_word = any(map(str.isalnum, text))
    is_typed = len(text) >= _MIN_MIDDLE and len(line) <= MAX_LINE_CHARS
    return has_word and is_typed and not is_comment_line(line, language)

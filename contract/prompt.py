"""The prompt: what the server sends to the model, and so what the builder calibrates, fine-tunes and scores on.

It covers cutting a window around the cursor and turning it into token ids. It imports nothing heavy, since the language
server uses it too. A model that was pruned without this format can no longer answer in it (dev/LOG.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any, cast

from tokenizers import Tokenizer

from contract.documents import PromptFacts
from contract.errors import BuildError

# What stands in front of a repository's name, and of a file's path.
REPOSITORY_TOKENS = (("<|repo_name|>", "<|file_sep|>"), ("<repo_name>", "<file_sep>"), ("<reponame>", "<filename>"))

# What editors put right of the cursor by themselves, and what a line that one edits ends with.
_CLOSERS = frozenset(")]}\"'` ;,:{")

MAX_PATH_TOKENS = 48  # of a longer path the end is kept

_BESIDE_WINDOW = 64 + MAX_PATH_TOKENS  # with a line's answer, and what marks the parts of a prompt

MAX_WINDOW_TOKENS = 1 << 17  # more than most models' positions; bounds what a damaged manifest can ask for

# Tokens are counted from a multiple of this many characters on, not from the start of the file: a count stays cheap in
# a long file, and the places where a window may start stay where they are while one types.
COUNTED_CHARS = 1 << 16
SEGMENT_CHARS = 400  # a longer line is counted, and where need be cut, in segments of this length
PIECE_CHARS = 25  # what a last segment of more tokens than the window is shortened by, as often as need be

MAX_BEGUN = 40  # characters; what is longer is no word and no token that is worth it
_COMPARED = 64  # tokens that are compared at once, which takes a fifth of the time
TAIL = 200  # characters that are enough to see how the last ones are split
BROKEN_CHARACTERS = re.compile("[\ud800-\udfff\ufffd]")  # half ones, which JSON can carry, and what they become


@dataclass(frozen=True, kw_only=True)
class PromptFormat:
    """How one base wants to be asked. Without the three fill-in-the-middle tokens the prompt is the plain prefix."""

    prefix_token: str | None = None
    suffix_token: str | None = None
    middle_token: str | None = None
    bos_token: str | None = None  # only for bases that were trained with one in front
    stop_tokens: tuple[str, ...] = ()  # end a completion, never part of its text
    end_token: str | None = None  # the stop token that training puts after a middle

    # The suffix stands between its token and the middle's, the prefix behind that (SPM of Bavarian et al., Efficient
    # Training of Language Models to Fill in the Middle, 2022, as StarCoder and Code Llama write it). While one types
    # the prompt only grows at its end, and the KV cache keeps everything before.
    suffix_first: bool = False
    # The path of the file stands in front, behind the base's token for a file (Hui et al., Qwen2.5-Coder, 2024).
    path_first: bool = False

    max_prefix_tokens: int = 1024
    prefix_step_tokens: int = 256  # the window's start moves in steps, so that the KV cache survives typing
    max_suffix_tokens: int = 256

    def __post_init__(self) -> None:
        fim = (self.prefix_token, self.suffix_token, self.middle_token)
        if any(fim) and not all(fim):
            raise BuildError(f"A prompt format needs all three fill-in-the-middle tokens or none, not {fim}.")
        if min(self.max_prefix_tokens, self.prefix_step_tokens) < 1 or self.max_suffix_tokens < 0:
            raise BuildError("A prompt window needs a prefix and a step of at least one token.")

    @property
    def is_fim(self) -> bool:
        """Whether the base knows fill-in-the-middle."""
        return self.middle_token is not None

    @property
    def repository_tokens(self) -> tuple[str | None, str | None]:
        """What stands before a repository's name and before each of its files, where the base was trained with such."""
        known = [pair for pair in REPOSITORY_TOKENS if pair[1] in self.stop_tokens]
        repository, file = known[0] if known else (None, None)
        return (repository if repository in self.stop_tokens else None), file

    def as_taught(self) -> PromptFormat:
        """The same format, as fine-tuning teaches it: the path in front, then the suffix."""
        path_first = self.is_fim and self.repository_tokens[1] is not None
        return replace(self, suffix_first=self.is_fim, path_first=path_first)

    def with_window(self, prefix: int, suffix: int) -> PromptFormat:
        """The same format with a window of at most `prefix` tokens before the cursor and `suffix` behind it."""
        step = max(1, min(self.prefix_step_tokens, prefix // 2))
        return replace(self, max_prefix_tokens=prefix, prefix_step_tokens=step, max_suffix_tokens=suffix)

    def halved(self) -> PromptFormat:
        """The same format with half of its window."""
        return self.with_window(self.max_prefix_tokens // 2, self.max_suffix_tokens // 2)

    def fitting(self, positions: int) -> PromptFormat:
        """The same format, with its window halved until a model of so many positions has room for an answer, too."""
        fitting = self
        while fitting.max_prefix_tokens > 1 and (
            fitting.max_prefix_tokens + fitting.max_suffix_tokens + _BESIDE_WINDOW > positions
        ):
            fitting = fitting.halved()
        return fitting

    def to_json(self) -> PromptFacts:
        """As it stands in manifests."""
        return cast(PromptFacts, asdict(self))

    @classmethod
    def unknown_key(cls, document: Mapping[str, Any]) -> str | None:
        """A key, or its beginning, that no version up to this one has written; None if there is none."""
        unknown = document.keys() - cls.__dataclass_fields__.keys()
        return str(min(unknown, key=str))[:40] if unknown else None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PromptFormat:
        """Read what `to_json` wrote; raises BuildError where a key is unknown or its type is wrong."""
        try:
            stops = document.get("stop_tokens", ())
            if not isinstance(stops, (list, tuple)):
                raise TypeError(f"stop_tokens is {stops!r}")
            if (name := cls.unknown_key(document)) is not None:
                raise BuildError(f"The prompt format in the manifest can't be read (it has {name!r}); update submodel.")
            values = {**document, "stop_tokens": tuple(stops)}
            for name, value in values.items():
                _check_kind(name, value)
            return cls(**values)
        except (TypeError, ValueError, AttributeError) as error:
            raise BuildError(f"The prompt format in the manifest can't be read ({error}); build again.") from error


def _check_kind(name: str, value: object) -> None:
    if name == "stop_tokens":
        is_right = isinstance(value, tuple) and all(isinstance(token, str) for token in value)
    elif name.endswith("_token"):
        is_right = value is None or isinstance(value, str)
    elif name.endswith("_tokens"):
        is_right = type(value) is int and 0 <= value <= MAX_WINDOW_TOKENS
    else:
        is_right = isinstance(value, bool)
    if not is_right:
        raise TypeError(f"{name} is {str(value)[:40]!r}")


@dataclass(frozen=True, kw_only=True)
class ContextSnippet:
    """Text of another file that may help."""

    path: str  # posix, relative to the repository
    text: str


@dataclass(frozen=True, kw_only=True)
class Window:
    """The text around the cursor that the model sees."""

    prefix: str
    suffix: str


def cut_window(text: str, offset: int, prompt_format: PromptFormat, count: Callable[[str], int]) -> Window:
    """Cut the window around `offset` (characters from the start of `text`, 0 ≤ offset ≤ len(text)).

    `count` gives the tokens of a piece of text. The window is cut at lines, so that its tokens are summed over lines: a
    few percent off where tokens span lines. The prefix starts at the start of a line. While the cursor moves within
    one step that start stays where it is, so the prompts of neighbouring keystrokes share their first tokens. The
    suffix ends at a line's end where it can. Where it comes first it leaves out closers that end the cursor's line:
    editors put them there while one types, and the whole prompt would change with each.
    """
    start = _prefix_start(text, offset, prompt_format, count)
    behind = _behind_closers(text, offset) if prompt_format.suffix_first else offset
    suffix = text[behind : _suffix_end(text, behind, prompt_format, count)] if prompt_format.is_fim else ""
    return Window(prefix=text[start:offset], suffix=suffix)


def _prefix_start(text: str, offset: int, prompt_format: PromptFormat, count: Callable[[str], int]) -> int:
    """Where the prefix starts: the first line behind as many steps as make the rest short enough."""
    origin = max(0, offset - COUNTED_CHARS) // COUNTED_CHARS * COUNTED_CHARS
    segments = list(_segments(text, origin, offset))
    totals = list(accumulate((count(text[begin:end]) for begin, end in segments), initial=0))
    surplus = totals[-1] - prompt_format.max_prefix_tokens
    if surplus <= 0 and not origin:
        return 0
    step = prompt_format.prefix_step_tokens
    least = -(-surplus // step) * step if surplus > 0 else 0  # rounded up: never longer than the maximum
    behind = [begin for (begin, _), total in zip(segments, totals, strict=False) if total >= least]
    if not behind:  # what fits begins within the last line, or the last segment of one
        start = segments[-1][0]
        while count(text[start:offset]) > prompt_format.max_prefix_tokens:
            start = min(offset, start + PIECE_CHARS)
        return start
    return next((begin for begin in behind if begin == 0 or text[begin - 1] == "\n"), behind[0])


def _suffix_end(text: str, start: int, prompt_format: PromptFormat, count: Callable[[str], int]) -> int:
    """Where the suffix ends: behind the last whole line that fits, or within a first line that is too long."""
    left, end = prompt_format.max_suffix_tokens, start
    for begin, after in _segments(text, start, len(text)):
        left -= count(text[begin:after])
        if left < 0:
            newline = text.rfind("\n", start, end)
            return newline + 1 if newline >= 0 else end
        end = after
    return end


def _segments(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The lines of text[start:end] with their line feeds, longer ones in segments of SEGMENT_CHARS."""
    while start < end:
        newline = text.find("\n", start, min(end, start + SEGMENT_CHARS))
        after = newline + 1 if newline >= 0 else min(end, start + SEGMENT_CHARS)
        yield start, after
        start = after


def _behind_closers(text: str, offset: int) -> int:
    """The end of the line, where nothing but closers stands before it; else `offset`."""
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    rest = text[offset:end]
    is_block_string = any(quote * 3 in rest for quote in "\"'`")  # nothing would tell that its end is there already
    return end if _CLOSERS.issuperset(rest) and not is_block_string else offset


def begun_text(tokenizer: Tokenizer, prefix: str) -> str:
    """Return the last characters of `prefix` that its continuation may share a token with; "" if there are none.

    They are a word, with the character before it if tokens hold both, or else the last token. They stay within the
    line, and are not its indentation (`PromptEncoder.taken_back`).
    """
    tail = prefix[-TAIL:]
    line = tail[tail.rfind("\n") + 1 :]
    if not line.strip() or BROKEN_CHARACTERS.search(line):
        return ""
    if line[-1].isalpha() or line[-1] == "_":
        pre_tokens = tokenizer.pre_tokenizer.pre_tokenize_str(line) if tokenizer.pre_tokenizer else []
        spans = [span for _, span in pre_tokens]
    else:
        spans = tokenizer.encode(line, add_special_tokens=False).offsets
        if len(spans) > 1:  # some tokenizers leave a token's space out of its span
            spans[-1] = (min(spans[-1][0], spans[-2][1]), len(line))
    if not spans:
        return ""
    start, end = spans[-1]
    # What begins where the tail does may have begun before it.
    is_whole = end == len(line) and (start > 0 or len(line) < TAIL)
    return line[start:] if is_whole and end - start <= MAX_BEGUN else ""


class PromptEncoder:
    """Windows to token ids, for one tokenizer and one format."""

    drops_indentation = False  # whether an answer at the start of a line's text begins with the line's indentation

    def __init__(self, tokenizer: Tokenizer, prompt_format: PromptFormat) -> None:
        # Text of files must never turn into control tokens, whatever it spells.
        tokenizer.encode_special_tokens = True
        self.tokenizer = tokenizer
        self.prompt_format = prompt_format
        self.stop_ids = frozenset(self._id(token) for token in prompt_format.stop_tokens)
        # Lines come again with each keystroke. A window has some 4,000; lines of 40 characters take 3 MB in all, whole
        # segments 9 MB, and 29 MB if they are of emoji.
        self._count = lru_cache(maxsize=1 << 14)(lambda line: len(self.text_ids(line)))
        # What is behind the cursor stays while one types, in a whole prompt and in short ones.
        self._suffix_ids = lru_cache(maxsize=8)(lambda suffix: tuple(self.text_ids(suffix)))

    def window(self, text: str, offset: int, prompt_format: PromptFormat | None = None) -> Window:
        """The window around `offset`; see `cut_window`. prompt_format: another one than the encoder's."""
        return cut_window(text, offset, prompt_format or self.prompt_format, self._count)

    def taken_back(self, before: str) -> str:
        """Return the end of the text before the cursor that the server lets the model write again.

        It is the line's indentation, if nothing else stands before the cursor, and else `begun_text`.
        """
        line = before[before.rfind("\n") + 1 :]
        return begun_text(self.tokenizer, before) if line.strip() else line

    def _id(self, token: str) -> int:
        token_id = self.tokenizer.token_to_id(token)
        if token_id is None:
            raise BuildError(f"The tokenizer has no token {token!r}, which the prompt format names; build again.")
        return int(token_id)

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text, nothing added.

        Half characters, which JSON can carry and a tokenizer can't, become the replacement character.
        """
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def end_ids(self) -> list[int]:
        """What ends a middle: one token id or, where the base ends with the file alone, nothing."""
        return (
            [self._id(self.prompt_format.end_token)]
            if self.prompt_format.end_token and self.prompt_format.is_fim
            else []
        )

    def answer_ends(self) -> list[int]:
        """Every token that ends an answer: the one that ends a middle first, then the stop tokens in their order."""
        stops = (self._id(token) for token in self.prompt_format.stop_tokens)
        return list(dict.fromkeys([*self.end_ids(), *stops]))

    def encode(
        self, window: Window, context: Sequence[ContextSnippet] = (), *, repository: str = "", path: str = ""
    ) -> list[int]:
        """The whole prompt: both parts in the format's order where the base knows them, else the plain prefix.

        Snippets of other files go in front, in the base's repository format (Hui et al., Qwen2.5-Coder, 2024, figure
        5), in comments where it has none. They come in the order given, which should change rarely: whatever follows a
        change is computed anew.
        """
        ids = self.left_to_right("")
        ids += self._context_ids(context, repository, path) if context else self.path_ids(path)
        return [*ids, *self._window_ids(window)]

    def path_ids(self, path: str) -> list[int]:
        """What stands in front of the window for a file's path, relative to the repository.

        Nothing if the format has none, or nobody knows it. Of a long path its end.
        """
        file_token = self.prompt_format.repository_tokens[1]
        if not (self.prompt_format.path_first and path and file_token):
            return []
        return [self._id(file_token), *self._path_line(path)]

    def _path_line(self, path: str) -> list[int]:
        return self.text_ids(f"{path}\n")[-MAX_PATH_TOKENS:]

    def _window_ids(self, window: Window) -> list[int]:
        """The part of a prompt behind `left_to_right("")` and the context."""
        prompt_format = self.prompt_format
        before = self.text_ids(window.prefix)
        if not (prompt_format.prefix_token and prompt_format.suffix_token and prompt_format.middle_token):
            return before
        prefix, suffix, middle = map(
            self._id, (prompt_format.prefix_token, prompt_format.suffix_token, prompt_format.middle_token)
        )
        behind = self._suffix_ids(window.suffix)
        if prompt_format.suffix_first:
            return [prefix, suffix, *behind, middle, *before]
        return [prefix, *before, suffix, *behind, middle]

    def _context_ids(self, context: Sequence[ContextSnippet], repository: str, path: str) -> list[int]:
        repository_token, file_token = self.prompt_format.repository_tokens
        if file_token is None:
            text = "".join(f"# {snippet.path}\n{snippet.text.rstrip()}\n\n" for snippet in context)
            return self.text_ids(f"{text}# {path}\n")
        ids = [self._id(repository_token), *self.text_ids(f"{repository}\n")] if repository_token and repository else []
        for snippet in context:
            ids += [self._id(file_token), *self.text_ids(f"{snippet.path}\n{snippet.text.rstrip()}\n")]
        return [*ids, self._id(file_token), *self._path_line(path)]

    def left_to_right(self, text: str) -> list[int]:
        """Text to be continued, without fill-in-the-middle tokens."""
        return [
            *([self._id(self.prompt_format.bos_token)] if self.prompt_format.bos_token else []),
            *self.text_ids(text),
        ]

    def snippet_ids(self, text: str) -> list[int]:
        """A piece of a file from the start of a line, behind the token of a line feed.

        Every piece stands on the same first token, whatever the model and the language: what a model makes of its first
        token decides much of what it makes of the rest.
        """
        return [self.text_ids("\n")[-1], *self.text_ids(text)]


def shared_prefix(left: Sequence[object], right: Sequence[object]) -> int:
    """Return how many tokens, or characters, two sequences have in common from their start."""
    if type(left) is not type(right):  # a list never equals a tuple
        left, right = list(left), list(right)
    place, end = 0, min(len(left), len(right))
    while place < end and left[place : place + _COMPARED] == right[place : place + _COMPARED]:
        place += _COMPARED
    return next((index for index in range(place, end) if left[index] != right[index]), end)

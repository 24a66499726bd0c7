"""The prompt: what the server sends to the model, and so what the builder calibrates, tunes and scores on.

It covers cutting a window around the cursor and turning it into token ids. It imports nothing heavy, since the language
server uses it too. A model that never saw this form during pruning loses it (docs/LOG.md, first entry).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tokenizers import Tokenizer

from builder.errors import BuildError

_REPOSITORY_TOKENS = (("<|repo_name|>", "<|file_sep|>"), ("<repo_name>", "<file_sep>"), ("<reponame>", "<filename>"))

_CLOSERS = frozenset(")]}\"'` ")  # what editors put right of the cursor by themselves

MAX_WINDOW_CHARS = 1 << 20  # more than any model's positions; bounds what a damaged manifest can ask for


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

    max_prefix_chars: int = 1024  # about 300 tokens: near half of the prompt time for what most lines need
    prefix_step_chars: int = 512  # the window's start moves in steps, so that the KV cache survives typing
    max_suffix_chars: int = 256  # short: it is computed anew with each change before it

    def __post_init__(self) -> None:
        fim = (self.prefix_token, self.suffix_token, self.middle_token)
        if any(fim) and not all(fim):
            raise BuildError(f"A prompt format needs all three fill-in-the-middle tokens or none, not {fim}.")
        if min(self.max_prefix_chars, self.prefix_step_chars) < 1 or self.max_suffix_chars < 0:
            raise BuildError("A prompt window needs a prefix and a step of at least one character.")

    @property
    def is_fim(self) -> bool:
        """Whether the base knows fill-in-the-middle."""
        return self.middle_token is not None

    @property
    def repository_tokens(self) -> tuple[str | None, str | None]:
        """What stands before a repository's name and before each of its files, where the base was trained with such."""
        known = [pair for pair in _REPOSITORY_TOKENS if pair[1] in self.stop_tokens]
        repository, file = known[0] if known else (None, None)
        return (repository if repository in self.stop_tokens else None), file

    def to_json(self) -> dict[str, Any]:
        """As it stands in manifests."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PromptFormat:
        """Read what `to_json` wrote; raises BuildError where a key is unknown or its type is wrong."""
        try:
            stops = document.get("stop_tokens", ())
            if not isinstance(stops, (list, tuple)):
                raise TypeError(f"stop_tokens is {stops!r}")
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
    elif name.endswith("_chars"):
        is_right = type(value) is int and 0 <= value <= MAX_WINDOW_CHARS
    else:
        is_right = isinstance(value, bool)
    if not is_right:
        raise TypeError(f"{name} is {str(value)[:40]!r}")


@dataclass(frozen=True, kw_only=True)
class ContextPiece:
    """Text of another file that may help. `source` says who chose it, and is no part of the prompt."""

    path: str  # posix, relative to the repository
    text: str
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The text around the cursor that the model sees."""

    prefix: str
    suffix: str


def cut_window(text: str, offset: int, form: PromptFormat) -> Window:
    """Cut the window around `offset` (characters from the start of `text`, 0 ≤ offset ≤ len(text)).

    The prefix starts at the start of a line. While the cursor moves within one step that start stays where it is, so
    the prompts of neighbouring keystrokes share their first tokens. The suffix ends at a line's end where it can.
    Where it comes first it leaves out closers that end the cursor's line: editors put them there while one types, and
    the whole prompt would change with each.
    """
    start = 0
    if offset > form.max_prefix_chars:
        step = form.prefix_step_chars
        earliest = -(-(offset - form.max_prefix_chars) // step) * step  # rounded up: never longer than the maximum
        newline = text.find("\n", earliest - 1, offset)
        start = newline + 1 if newline >= 0 else earliest
    behind = _behind_closers(text, offset) if form.suffix_first else offset
    suffix = text[behind : behind + form.max_suffix_chars]
    if behind + form.max_suffix_chars < len(text) and "\n" in suffix:
        suffix = suffix[: suffix.rindex("\n") + 1]
    return Window(prefix=text[start:offset], suffix=suffix if form.is_fim else "")


def _behind_closers(text: str, offset: int) -> int:
    """The end of the line, where nothing but closers stands before it; else `offset`."""
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    rest = text[offset:end]
    is_block_string = any(quote * 3 in rest for quote in "\"'`")  # nothing would tell that its end is there already
    return end if _CLOSERS.issuperset(rest) and not is_block_string else offset


class PromptEncoder:
    """Windows to token ids, for one tokenizer and one format."""

    def __init__(self, tokenizer: Tokenizer, form: PromptFormat) -> None:
        # Text of files must never turn into control tokens, whatever it spells.
        tokenizer.encode_special_tokens = True
        self.tokenizer = tokenizer
        self.form = form
        self.stop_ids = frozenset(self._id(token) for token in form.stop_tokens)

    def _id(self, token: str) -> int:
        token_id = self.tokenizer.token_to_id(token)
        if token_id is None:
            raise BuildError(f"The tokenizer has no token {token!r}, which the prompt format names; build again.")
        return int(token_id)

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text, nothing added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def end_ids(self) -> list[int]:
        """What ends a middle: one token id or, where the base ends with the file alone, nothing."""
        return [self._id(self.form.end_token)] if self.form.end_token and self.form.is_fim else []

    def encode(
        self, window: Window, context: Sequence[ContextPiece] = (), *, repository: str = "", path: str = ""
    ) -> list[int]:
        """The whole prompt: both parts in the format's order where the base knows them, else the plain prefix.

        Pieces of other files go in front, in the base's repository format (Hui et al., Qwen2.5-Coder, 2024, figure 5),
        in comments where it has none. They come in the order given, which should change rarely: whatever follows a
        change is computed anew.
        """
        form = self.form
        ids = self.left_to_right("")
        if context:
            ids += self._context_ids(context, repository, path)
        if form.prefix_token and form.suffix_token and form.middle_token:
            prefix, suffix, middle = map(self._id, (form.prefix_token, form.suffix_token, form.middle_token))
            before, behind = self.text_ids(window.prefix), self.text_ids(window.suffix)
            if form.suffix_first:
                return [*ids, prefix, suffix, *behind, middle, *before]
            return [*ids, prefix, *before, suffix, *behind, middle]
        return [*ids, *self.text_ids(window.prefix)]

    def _context_ids(self, context: Sequence[ContextPiece], repository: str, path: str) -> list[int]:
        repository_token, file_token = self.form.repository_tokens
        if file_token is None:
            text = "".join(f"# {piece.path}\n{piece.text.rstrip()}\n\n" for piece in context)
            return self.text_ids(f"{text}# {path}\n")
        ids = [self._id(repository_token), *self.text_ids(f"{repository}\n")] if repository_token and repository else []
        for piece in context:
            ids += [self._id(file_token), *self.text_ids(f"{piece.path}\n{piece.text.rstrip()}\n")]
        return [*ids, self._id(file_token), *self.text_ids(f"{path}\n")]

    def left_to_right(self, text: str) -> list[int]:
        """Text to be continued, without fill-in-the-middle tokens."""
        return [*([self._id(self.form.bos_token)] if self.form.bos_token else []), *self.text_ids(text)]

    def piece_ids(self, text: str) -> list[int]:
        """A piece of a file from the start of a line, behind the token of a line feed.

        Every piece stands on the same first token, whatever the model and the language: what a model makes of its first
        token decides much of what it makes of the rest.
        """
        return [self.text_ids("\n")[-1], *self.text_ids(text)]


def shared_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences have in common from their start."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))

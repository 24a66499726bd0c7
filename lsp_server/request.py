"""What is asked and what is answered: the two records that pass between protocol, session, service and completer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from contract.files.file_names import path_below
from contract.prompt import ContextSnippet
from lsp_server.options import WHEN_ASKED, ServerOptions
from lsp_server.suggestion.indentation import indent_of
from lsp_server.suggestion.steps import Step
from lsp_server.syntax.grammars import Grammar, find_grammar


def line_end_of(text: str) -> str:
    r"""Return what most lines of a text end with: "\r\n" or "\n", or "\r" if there is none of these."""
    if "\n" not in text:
        return "\r" if "\r" in text else "\n"
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def path_in(root: Path | None, file: Path) -> str:
    """Return a file's path relative to `root`, with slashes, as fine-tuning saw it; its name if it lies elsewhere."""
    below = None if root is None else path_below(file, root)
    return file.name if below is None else below.as_posix()


@dataclass(frozen=True, kw_only=True)
class ClientCursor:
    """The cursor as the client counts: in its own line ends and character units."""

    uri: str = ""
    line: int = 0
    character: int = 0
    offset: int = 0  # into the client's text, in code points
    line_end: str = "\n"  # as the document has it
    inserted_line_end: str = "\n"  # as the client takes it in what it inserts

    def with_line_ends(self, text: str) -> str:
        """Return a text as the client's document has it."""
        return text.replace("\n", self.line_end)

    def to_insert(self, text: str) -> str:
        """Return a text as the client takes it."""
        return text.replace("\n", self.inserted_line_end)


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    """A cursor in a text, and how it is to be completed. A request never changes: each layer adds to a copy of it.

    `text` may be given with any line ends; it has line feeds afterwards. `offset` moves with it (code points,
    0 ≤ offset ≤ len(text)). The completer needs no more than these two.
    """

    text: str
    offset: int
    path: str = ""  # relative to the repository, with slashes; the language follows from it, or from `language_id`
    language_id: str | None = None  # the editor's
    root: Path | None = None  # of the repository
    bundle: Path | None = None  # the one to ask
    client: ClientCursor = field(default_factory=ClientCursor)
    is_invoked: bool = False  # asked for by hand
    may_reindent: bool = False  # the client can replace the white space that the cursor's line begins with
    may_place_cursor: bool = False  # the client can put the cursor before the end of what it inserts
    refusal: str | None = None  # why the document can't be completed at all
    # What the session adds:
    options: ServerOptions = WHEN_ASKED
    threads: int | None = None  # None: the engine's own default
    context: tuple[ContextSnippet, ...] = ()  # text of other files, the oldest first
    max_tokens: int | None = None  # of the answer, if the client wants fewer than the options say
    window_from: int = 0  # offset of a line, the cursor's or one above: the prompt's window is cut as if the text began
    # What the completer adds:
    is_multi_line: bool = False  # several lines are wanted, since a block begins here

    def __post_init__(self) -> None:
        if "\r" in self.text:
            is_between = self.text[max(0, self.offset - 1) : self.offset + 1] == "\r\n"  # of a file of mixed line ends
            offset = self.offset - is_between
            parts = (self.text[:offset], self.text[offset:])
            before, after = (part.replace("\r\n", "\n").replace("\r", "\n") for part in parts)
            object.__setattr__(self, "text", before + after)
            object.__setattr__(self, "offset", len(before))

    @property
    def repository(self) -> str:
        """The repository's name, for base models that were trained with names; "" outside of one."""
        return self.root.name if self.root is not None else ""

    @cached_property
    def grammar(self) -> Grammar | None:
        """The syntax of the file's language, if it is known."""
        return find_grammar(self.path, self.language_id)

    @cached_property
    def line_start(self) -> int:
        """Offset of the first character of the cursor's line."""
        return self.text.rfind("\n", 0, self.offset) + 1

    @cached_property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.text[self.line_start : self.offset]

    @cached_property
    def line_after(self) -> str:
        """The cursor's line from the cursor on, without its line end."""
        end = self.text.find("\n", self.offset)
        return self.text[self.offset : end if end >= 0 else len(self.text)]

    @cached_property
    def indent(self) -> str:
        """The white space that the cursor's line begins with, up to the cursor."""
        return indent_of(self.line_before)

    def with_indent(self, indent: str) -> CompletionRequest:
        """Return the request as if the cursor's line began with other white space."""
        begin = self.text[: self.line_start] + indent + self.line_before[len(self.indent) :]
        return replace(self, text=begin + self.text[self.offset :], offset=len(begin))

    @cached_property
    def outdented(self) -> dict[str, CompletionRequest | None]:
        """What is known of this request with less indentation: an answer is looked at after each token."""
        return {}

    @property
    def is_in_indentation(self) -> bool:
        """Whether only tabs and spaces, or nothing, stand before the cursor on its line."""
        return self.line_before == self.indent

    @cached_property
    def is_blank_before(self) -> bool:
        """Whether only white space stands before the cursor on its line."""
        return not self.line_before.strip()

    @cached_property
    def previous_line(self) -> str:
        """The nearest line above that is not blank; "" if there is none."""
        return next(self.lines_above(), "")

    def lines_above(self) -> Iterator[str]:
        """Yield the lines above the cursor's that are not blank, the nearest first."""
        end = self.line_start - 1
        while end > 0:
            start = self.text.rfind("\n", 0, end) + 1
            if (line := self.text[start:end]).strip():
                yield line
            end = start - 1

    @cached_property
    def next_line(self) -> str:
        """The nearest line below that is not blank; "" if there is none."""
        start = self.offset + len(self.line_after) + 1
        while start < len(self.text):
            end = self.text.find("\n", start)
            end = end if end >= 0 else len(self.text)
            if (line := self.text[start:end]).strip():
                return line
            start = end + 1
        return ""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What to show at the cursor, and how it came about: `text` is "" if nothing is worth showing."""

    text: str = ""
    replaces: int = 0  # characters right of the cursor whose place it takes
    added: int = 0  # characters at its end, the closers of what it opens: the cursor belongs before them
    indent: str | None = None  # what the line begins with once it is accepted; None: as it does now
    milliseconds: float = 0.0  # of the model
    tokens: int = 0  # generated ones, those of the text that is not shown included
    prompt_tokens: int = 0
    computed_tokens: int = 0  # of the prompt; the others were in the KV cache
    raw: str = ""  # what the model wrote
    steps: tuple[Step, ...] = ()
    rule: str | None = None  # the rule because of which nothing is shown
    confidence: float | None = None  # the model's probability of the shown text
    threshold: float | None = None  # the least of which something is shown; None: by hand, all is
    is_multi_line: bool = False
    is_late: bool = False  # time ran out before the line was whole; with more time the answer may differ
    is_unsure: bool = False  # there may be less of it, or nothing, because the model was not sure enough
    is_from_short_prompt: bool = False  # the whole one was not read yet; the next answer may differ
    build: str | None = None  # which build answered: SHA-256 of its bundle.json
    queue_ms: float = 0.0  # the request's wait for the worker
    trace_id: int = 0  # of the request that first led to it

    @property
    def leaves_cursor(self) -> bool:
        """Whether the cursor belongs before its last characters: not once all that is before them is typed."""
        return 0 < self.added < len(self.text)

    @property
    def is_line_whole(self) -> bool:
        """Whether its last line is whole; else it was cut within it: the model was not sure of the rest, say."""
        rules = ("threshold", "budget", "syntax", "special-tokens")
        cuts = [step for step in self.steps if step.name in rules and step.action == "cut"]
        return all((cut.before or "")[len(cut.after or "") :].startswith("\n") for cut in cuts)

"""Where a completion is asked for: the document around the cursor, as stops and filters see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lsp_server.syntax.grammars import Grammar


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A cursor in a text whose lines end in line feeds; `offset` counts characters, 0 ≤ offset ≤ len(text)."""

    text: str
    offset: int
    grammar: Grammar | None = None
    is_multi_line: bool = False  # several lines are wanted, since a block begins here

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
        return self.line_before[: len(self.line_before) - len(self.line_before.lstrip(" \t"))]

    @cached_property
    def is_blank_before(self) -> bool:
        """Whether only white space stands before the cursor on its line."""
        return not self.line_before.strip()

    @cached_property
    def previous_line(self) -> str:
        """The nearest line above that is not blank; "" where there is none."""
        lines = reversed(self.text[: max(0, self.line_start - 1)].split("\n"))
        return next((line for line in lines if line.strip()), "")

    @cached_property
    def next_line(self) -> str:
        """The nearest line below that is not blank; "" where there is none."""
        rest = self.text[self.offset + len(self.line_after) + 1 :]
        return next((line for line in rest.split("\n") if line.strip()), "")

"""Where the next request will probably be, so that it is answered before a key asks for it."""

from __future__ import annotations

import re

from lsp_server.suggestion.brackets import OPENERS, open_at_end
from lsp_server.suggestion.indentation import TAB_WIDTH, indent_of, indent_unit, leaves_block
from lsp_server.syntax.grammars import Grammar

_CLOSED_BLOCK = re.compile(r"\}[)\]};,]*+")


def place_of_first_key(text: str, offset: int, grammar: Grammar | None = None) -> tuple[str, int] | None:
    """Return the text and offset at which the first keystroke after a pause would be answered; None if unknown."""
    if text[text.rfind("\n", 0, offset) + 1 : offset].strip():
        return place_after_accepting(text, offset, "", grammar=grammar)
    return None if _rest_of_line(text, offset).strip() else (text, offset)


def place_after_accepting(
    text: str,
    offset: int,
    suggestion: str,
    replaces: int = 0,
    *,
    is_whole: bool = True,
    grammar: Grammar | None = None,
) -> tuple[str, int] | None:
    """Return the text and the offset in it after a suggestion at `offset` was accepted and Enter was pressed.

    `replaces` characters right of the cursor are removed. None if text is left there, since Enter would move it along;
    between the braces of a block it opens that block.
    The new line is indented as most editors do it. In an editor that does otherwise the answer there is not used: what
    is worth showing depends on the indentation.

    `is_whole`: the suggestion ends its line; else the place is its end, and nobody presses Enter there.
    """
    line = (text[text.rfind("\n", 0, offset) + 1 : offset] + suggestion).rpartition("\n")[2]
    left = _rest_of_line(text, offset + replaces).strip()
    if is_whole and left and not (line.endswith("{") and _CLOSED_BLOCK.fullmatch(left)):
        return None
    accepted, rest = text[:offset] + suggestion, text[offset + replaces :]
    if not is_whole:
        return accepted + rest, len(accepted)
    indent = indent_of(line)
    if left:
        rest = f"\n{indent}{rest}"  # editors put the brace of a block on a line of its own
    if line.rstrip().endswith(tuple(OPENERS)) or (line.rstrip().endswith(":") and not _is_comment(line)):
        indent += indent_unit(text, offset) or ("\t" if grammar is not None and grammar.has_tabs else " " * TAB_WIDTH)
    elif grammar is not None and grammar.is_indented and _ends_block(line):
        indent = indent.removesuffix(indent_unit(accepted, len(accepted)) or " " * TAB_WIDTH)
    accepted += f"\n{indent}"
    return accepted + rest, len(accepted)


def _rest_of_line(text: str, offset: int) -> str:
    end = text.find("\n", offset)
    return text[offset : end if end >= 0 else len(text)]


def _is_comment(line: str) -> bool:
    """Return whether a line that ends in a colon is a comment, as most languages write it."""
    return line.lstrip().startswith(("//", "#", "*"))


def _ends_block(line: str) -> bool:
    """Return whether a line is the last one of its block, and the next one belongs to another statement."""
    return leaves_block(line) and not open_at_end(line) and not line.endswith("\\")

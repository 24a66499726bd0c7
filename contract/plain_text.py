"""Names of files and what a stranger's files say may hold what a terminal takes for commands; here it is taken out.

It loads nothing, since the language server starts with it.
"""

from __future__ import annotations


def plain(text: str) -> str:
    """The text in one line, with `?` for each character that a terminal obeys or does not show."""
    return "".join(one if one.isprintable() else " " if one in "\t\n" else "?" for one in text)

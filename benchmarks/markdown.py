"""Tables of Markdown on standard output."""

from __future__ import annotations


def print_head(*titles: str) -> None:
    """The titles of a table, and the line below them."""
    print_row(*titles)
    print_row(*["---"] * len(titles))


def print_row(*cells: str) -> None:
    """A row of it."""
    print("| " + " | ".join(cells) + " |")

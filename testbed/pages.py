"""What README.md and docs/results.md say, for tests of their figures and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
README_LINES = (ROOT / "README.md").read_text("utf-8").splitlines()
README = " ".join(" ".join(README_LINES).split())
PAGE = (ROOT / "docs" / "results.md").read_text("utf-8")
WORDS = " ".join(PAGE.split())
SUMMARY = WORDS.partition("## What these figures do not show")[0]
Rows = list[list[str]]


def cells(line: str) -> list[str]:
    """The cells of a row, without bold and with a plain minus."""
    plain = line.replace("*", "").replace("−", "-")
    return [cell.strip() for cell in plain.strip("| \n").split("|")]


def table(head: str) -> Rows:
    """The rows of the page's table that begins with `head`."""
    rows = PAGE.partition(f"\n{head}")[2].partition("\n\n")[0]
    return [cells(line) for line in rows.splitlines()[2:]]


def spell(printed: str) -> str:
    """The interval of a printed value, with a typographic minus."""
    return printed.partition(" ")[2].replace("-", "−")


def interval(one: Mapping[str, float], scale: float, places: int) -> str:
    """A value and its interval, as the pages write them, with a plain minus."""
    value, low, high = (f"{scale * one[key]:+.{places}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"

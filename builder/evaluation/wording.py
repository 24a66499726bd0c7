"""How a comparison with its 95 % interval is worded, in tables, reports and documents alike."""

from __future__ import annotations

from builder.evaluation.scores import is_of_one_file
from contract.documents import Comparison, Estimate


def difference(figure: Estimate, *, scale: float = 1.0, unit: str = "") -> str:
    """A value with its sign and unit, and its interval. An end of -0.0 is below 0."""
    value, low, high = (f"{scale * one:+.1f}" for one in (figure["value"], figure["low"], figure["high"]))
    return f"{value}{unit} ({low} to {high})"


def points(figure: Estimate) -> str:
    """A difference of shares, in percentage points."""
    return difference(figure, scale=100, unit=" points")


def change(figure: Estimate) -> str:
    """A ratio, as what it is more or less than one."""
    value, low, high = (ratio - 1 for ratio in (figure["value"], figure["low"], figure["high"]))
    return f"{value:+.1%} ({low:+.1%} to {high:+.1%})"


def compared(figures: Comparison) -> str:
    """A comparison in a line, with its 95 % intervals."""
    reported = [f"exact match {points(figures['exact_match_difference'])}"]
    if "bits_per_byte_ratio" in figures:
        reported.append(f"bits per byte {change(figures['bits_per_byte_ratio'])}")
    ends = "; all of it is from one file, which says little about others" if is_of_one_file(figures) else ""
    return f"{', '.join(reported)}{ends}"

"""How a comparison with its 95 % interval is worded, in tables, reports and documents alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.documents import Estimate


def points(figure: Estimate) -> str:
    """A difference of shares, in percentage points."""
    value, low, high = (100 * share for share in (figure["value"], figure["low"], figure["high"]))
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"


def change(figure: Estimate) -> str:
    """A ratio, as what it is more or less than one."""
    value, low, high = (ratio - 1 for ratio in (figure["value"], figure["low"], figure["high"]))
    return f"{value:+.1%} ({low:+.1%} to {high:+.1%})"


def ranked(method: Mapping[str, Any]) -> str:
    """A method of a sweep's ranking: its mean, and by how much it is before the next one."""
    reported = f"{method['method']} {method['mean']:.3f}"
    if "over_next" not in method:
        return reported
    gain = method["over_next"]
    interval = " ({:.3f} to {:.3f})".format(*gain["gain_interval"]) if "gain_interval" in gain else ""
    return f"{reported}, by {gain['gain']:.3f}{interval}"

"""Peak memory of this process, for the manifest."""

from __future__ import annotations

import sys


def peak_rss_bytes() -> int | None:
    """The largest resident set that this process ever had, in bytes; None where the system doesn't tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

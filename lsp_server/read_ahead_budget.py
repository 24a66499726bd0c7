"""How much processor time reading ahead may use, since nobody may want what it reads."""

from __future__ import annotations

from collections.abc import Callable

RATE = 0.02  # of a core, on average
BURST_S = 6.0  # of a core at once: two places of 2,000 tokens; with RATE 3 % of a core over any ten minutes
PLACE_S = 0.5  # of a core: what a short prompt and the answer at the likeliest first key take


class ReadAheadBudget:
    """Core seconds that may be spent: they grow at RATE up to BURST_S. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._left_s, self._at = BURST_S, now()
        self._unused_s = 0.0  # spent last, unless `use` came after it

    @property
    def left_s(self) -> float:
        """Core seconds that may be spent now; negative if more was spent than there was."""
        now = self._now()
        self._left_s = min(BURST_S, self._left_s + (now - self._at) * RATE)
        self._at = now
        return self._left_s

    @property
    def wait_s(self) -> float:
        """Seconds until there is enough for a short prompt; 0 if there is now."""
        return max(0.0, PLACE_S - self.left_s) / RATE

    def spend(self, core_s: float) -> None:
        """Subtract core seconds that were spent on what may be of no use."""
        self._left_s = self.left_s - core_s
        self._unused_s = core_s

    def use(self) -> None:
        """Give back what was spent last, since it was of use."""
        self._left_s = min(BURST_S, self.left_s + self._unused_s)
        self._unused_s = 0.0

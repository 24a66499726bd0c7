"""How much of the cores may go into what nobody has asked for: a leaky bucket, in seconds of one core."""

from __future__ import annotations

from collections.abc import Callable

RATE = 0.02  # of a core, on average
BURST_S = 6.0  # of a core at once: two places of 2,000 tokens; with RATE 3 % of a core over any ten minutes


class Allowance:
    """Fills at `rate` up to `burst_s`. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float], *, rate: float = RATE, burst_s: float = BURST_S) -> None:
        self._now = now
        self._rate, self.burst_s = rate, burst_s
        self._left_s, self._at = burst_s, now()
        self._unused_s = 0.0  # spent since the last `use`

    @property
    def left_s(self) -> float:
        """What may be spent now; negative after more was spent than there was."""
        now = self._now()
        self._left_s = min(self.burst_s, self._left_s + (now - self._at) * self._rate)
        self._at = now
        return self._left_s

    def spend(self, core_s: float) -> None:
        """So much was spent on what may be of no use."""
        self._left_s = self.left_s - core_s
        self._unused_s = core_s

    def use(self) -> None:
        """What was spent last was of use: it is given back."""
        self._left_s = min(self.burst_s, self.left_s + self._unused_s)
        self._unused_s = 0.0

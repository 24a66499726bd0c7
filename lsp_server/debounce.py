"""How long to wait after a keystroke before the model is asked.

The first keystroke after a pause does not wait. The others wait a little if the user types slowly, longer in a burst.
"""

from __future__ import annotations

from collections.abc import Callable

from lsp_server.options import TriggerOptions

PAUSE_S = 0.6  # a longer gap between two keystrokes is a pause, which does not count for the speed
_WEIGHT = 0.3  # of the newest gap in the running mean
_SAFETY = 1.3  # a wait of 1.3 mean gaps outlasts most gaps of a burst


class Debounce:
    """Learns the user's speed from the times of the edits. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last: float | None = None
        self._gap_s: float | None = None  # running mean within bursts
        self._is_first = False  # whether the last keystroke came after a pause

    def note_edit(self) -> None:
        """Note the time of an edit."""
        now = self._now()
        self._is_first = self._last is None or now - self._last >= PAUSE_S
        if self._last is not None:
            gap = now - self._last
            if gap < PAUSE_S:
                self._gap_s = gap if self._gap_s is None else (1 - _WEIGHT) * self._gap_s + _WEIGHT * gap
        self._last = now

    def wait_s(self, options: TriggerOptions, *, factor: float = 1.0) -> float:
        """Seconds to wait from now on. `factor` lengthens the wait, as on battery."""
        if self._is_first and factor == 1.0:  # the place was read ahead; the next keystroke would end the request
            return 0.0
        low, high = options.debounce_min_ms / 1000, max(options.debounce_min_ms, options.debounce_max_ms) / 1000
        if self._last is None or self._gap_s is None:
            return low * factor
        since = self._now() - self._last
        if since >= PAUSE_S:
            return low * factor
        wanted = min(high, max(low, _SAFETY * self._gap_s)) * factor
        return max(0.0, wanted - since)

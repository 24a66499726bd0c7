"""How long to wait after a keystroke before the model is asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from lsp_server.options import TriggerOptions

PAUSE_S = 0.6  # a longer gap between two keystrokes is a pause, which does not count for the speed
_WEIGHT = 0.3  # of the newest gap in the running mean
_DOCUMENTS = 64  # whose times are kept
_SAFETY = 1.3  # a wait of 1.3 mean gaps outlasts most gaps of a burst, if it is below the upper bound


@dataclass(kw_only=True)
class _Typing:
    """In one document."""

    at_s: float  # of its last edit
    is_first: bool = True  # that one came after a pause
    gap_s: float | None = None  # running mean within bursts


class Debounce:
    """Learns the user's speed from the times of the edits. `now` is a monotonic clock in seconds.

    Each document has its own: another one may change by itself, as a log does.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._documents: OrderedDict[str, _Typing] = OrderedDict()  # the last edited comes last

    def note_edit(self, uri: str) -> None:
        """Note the time of an edit."""
        now = self._now()
        typing = self._documents.pop(uri, None) or _Typing(at_s=-inf)
        gap, typing.at_s = now - typing.at_s, now
        typing.is_first = gap >= PAUSE_S
        if not typing.is_first:
            typing.gap_s = gap if typing.gap_s is None else (1 - _WEIGHT) * typing.gap_s + _WEIGHT * gap
        self._documents[uri] = typing
        if len(self._documents) > _DOCUMENTS:
            self._documents.popitem(last=False)

    def wait_s(self, uri: str, options: TriggerOptions, *, factor: float = 1.0) -> float:
        """Seconds to wait from now on in a document. `factor` lengthens the wait, as on battery."""
        typing = self._documents.get(uri)
        # The place was read ahead; the next keystroke would end the request.
        if typing is not None and typing.is_first and factor == 1.0:
            return 0.0
        low, high = options.debounce_min_ms / 1000, max(options.debounce_min_ms, options.debounce_max_ms) / 1000
        if typing is None or typing.gap_s is None:
            return low * factor
        since = self._now() - typing.at_s
        if since >= PAUSE_S:
            return low * factor
        wanted = min(high, max(low, _SAFETY * typing.gap_s)) * factor
        return max(0.0, wanted - since)

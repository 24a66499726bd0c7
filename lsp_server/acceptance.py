"""Infers from later edits which suggestions were accepted, so that editors need not report it.

A suggestion is accepted if one edit puts the rest of its text in its place. One that is typed character by character is
not, unless the editor reports it right after.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from contract.documents import LatencyFacts
from contract.prompt import shared_prefix
from lsp_server.open_documents import Edit

KEPT_LATENCIES = 200
_PAIRS = frozenset({"()", "[]", "{}", '""', "''", "``"})  # one key: editors add the closer


@dataclass(kw_only=True)
class Statistics:
    """Counters since `since`."""

    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    requests: int = 0
    shown: int = 0
    accepted: int = 0
    accepted_characters: int = 0
    nothing: Counter[str] = field(default_factory=Counter)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))

    def latency(self) -> LatencyFacts:
        """Return count, median and 95th percentile of the last computed completions."""
        ranked = sorted(self.latencies_ms)

        def percentile(share: float) -> float | None:
            return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 1) if ranked else None

        return {"count": len(ranked), "p50": percentile(0.5), "p95": percentile(0.95)}

    def to_json(self) -> dict[str, Any]:
        """Return the object that `submodel.statistics` answers."""
        return {
            "since": self.since.isoformat(timespec="seconds"),
            "requests": self.requests,
            "shown": self.shown,
            "accepted": self.accepted,
            "acceptedCharacters": self.accepted_characters,
            "nothing": dict(self.nothing.most_common()),
            "latencyMs": self.latency(),
        }


@dataclass(kw_only=True)
class _Shown:
    """A suggestion on the screen. Its text begins at `offset`; `typed` characters of it stand there already."""

    id: int
    uri: str
    offset: int
    text: str
    is_whole: bool  # its last line is; else it was cut within it
    moved: int  # characters by which accepting it moves its begin to the left
    typed: int = 0


class AcceptanceTracker:
    """Follows the newest suggestion."""

    def __init__(self) -> None:
        self.statistics = Statistics()
        self._shown: _Shown | None = None
        self._typed_out: _Shown | None = None  # the last edit was its last character
        self._last_end: tuple[str, int] | None = None

    def sent(self, id: int, uri: str, offset: int, text: str, *, is_whole: bool = True, moved: int = 0) -> None:
        """Note a suggestion that was sent to the client. Its rest, while the user types it, has the same id.

        `is_whole`: its last line is; else the rest of that line is asked for once it is accepted. `moved`: it begins so
        many characters further left once it is accepted, since its line is indented less then.
        """
        if self._shown is not None and self._shown.id == id:
            return
        self._typed_out = None
        self._shown = _Shown(id=id, uri=uri, offset=offset, text=text, is_whole=is_whole, moved=moved)
        self.statistics.shown += 1

    def accepted(self, id: int) -> None:
        """Note that the client reports a suggestion as accepted. The edit that inserts it is not counted again."""
        typed_out, self._typed_out = self._typed_out, None
        for one in (self._shown, typed_out):
            if one is not None and one.id == id:
                self._accept(one)
                return

    def edited(self, uri: str, text: str, edits: Sequence[Edit]) -> None:
        """Follow the edits of a document; `text` is what they made of it."""
        if edits and self._last_end is not None and self._last_end[0] == uri:
            self._last_end = None
        if edits:
            self._typed_out = None
        shown = self._shown
        if shown is None or shown.uri != uri or not edits:
            return
        if shown.moved and edits[0].start < shown.offset:  # its line was indented less, as by accepting it
            shown.offset, shown.moved = shown.offset - shown.moved, 0
        typed = shared_prefix(text[shown.offset : shown.offset + len(shown.text)], shown.text)
        # One key may complete it, too: the closer that it would replace stands right of the cursor.
        is_one_key = all(map(_is_one_key, edits))
        gained = min(typed - shown.typed, 1) if is_one_key else typed - shown.typed
        if not any(edit.inserted for edit in edits) and 0 <= edits[0].start - shown.offset <= shown.typed:
            shown.typed = typed  # editors remove what a snippet replaces before they put it in
        elif edits[0].start > shown.offset + shown.typed or typed == 0:
            self._shown = None
        elif typed < len(shown.text):
            shown.typed = typed
        elif gained > 1:
            self._accept(shown)
        else:
            self._shown, self._typed_out = None, shown

    def is_at_accepted_end(self, uri: str, offset: int) -> bool:
        """Return whether an accepted suggestion that ends its line ends here, and nothing was typed since."""
        return self._last_end == (uri, offset)

    def closed(self, uri: str) -> None:
        """Forget the suggestion of a document that was closed."""
        if self._shown is not None and self._shown.uri == uri:
            self._shown = None

    def reset(self) -> None:
        """Start counting anew."""
        self.statistics = Statistics()

    def _accept(self, shown: _Shown) -> None:
        self._last_end = (shown.uri, shown.offset + len(shown.text)) if shown.is_whole else None
        self._shown = None
        self.statistics.accepted += 1
        self.statistics.accepted_characters += len(shown.text) - shown.typed


def _is_one_key(edit: Edit) -> bool:
    """Return whether an edit may be one keystroke. At Enter and Tab editors insert several characters."""
    return len(edit.inserted) < 2 or edit.inserted in _PAIRS or not edit.inserted.strip("\r\n \t")

"""Counts of what was shown and what became of it: in memory, of this session, never sent anywhere."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from contract.documents import LatencyFacts

KEPT_LATENCIES = 200
SURVIVAL_S = (30, 300)  # after which an accepted text is looked at again


@dataclass(kw_only=True)
class Statistics:
    """Counters since `since`."""

    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    requests: int = 0
    shown: int = 0
    accepted: int = 0
    partly_accepted: int = 0
    rejected: int = 0
    shown_characters: int = 0
    accepted_characters: int = 0
    nothing: Counter[str] = field(default_factory=Counter)
    shown_by_language: Counter[str] = field(default_factory=Counter)
    accepted_by_language: Counter[str] = field(default_factory=Counter)
    survival_checked: Counter[int] = field(default_factory=Counter)
    survival_unchanged: Counter[int] = field(default_factory=Counter)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))

    def latency(self) -> LatencyFacts:
        """Count, median and 95th percentile of the last computed completions."""
        ranked = sorted(self.latencies_ms)

        def percentile(share: float) -> float | None:
            return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 1) if ranked else None

        return {"count": len(ranked), "p50": percentile(0.5), "p95": percentile(0.95)}

    def to_json(self) -> dict[str, Any]:
        """As `submodel.statistics` returns it."""
        return {
            "since": self.since.isoformat(timespec="seconds"),
            "requests": self.requests,
            "shown": self.shown,
            "accepted": self.accepted,
            "partlyAccepted": self.partly_accepted,
            "rejected": self.rejected,
            "shownCharacters": self.shown_characters,
            "acceptedCharacters": self.accepted_characters,
            "survival": {str(seconds): self._survival(seconds) for seconds in SURVIVAL_S},
            "nothing": dict(self.nothing.most_common()),
            "languages": {
                language: {"shown": shown, "accepted": self.accepted_by_language[language]}
                for language, shown in self.shown_by_language.most_common()
            },
            "latencyMs": self.latency(),
        }

    def _survival(self, seconds: int) -> dict[str, Any]:
        checked, unchanged = self.survival_checked[seconds], self.survival_unchanged[seconds]
        share = round(unchanged / checked, 4) if checked else None
        return {"checked": checked, "unchanged": unchanged, "share": share}

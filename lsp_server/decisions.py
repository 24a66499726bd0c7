"""Decisions: what became of each request, kept for `submodel/explain`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from lsp_server.suggestion.steps import Step

KEPT = 50


class Outcome(StrEnum):
    """What the user saw; the values are the protocol's."""

    SHOWN = "shown"
    NOTHING = "nothing"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Times:
    """Milliseconds that a request spent where."""

    debounce: float = 0.0
    queue: float = 0.0
    model: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens of a request: of the prompt, of those that were not in the KV cache, of the answer."""

    prompt: int = 0
    computed: int = 0
    generated: int = 0


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Why something was shown at a place, or nothing."""

    id: int
    uri: str
    line: int
    character: int
    language: str | None
    is_invoked: bool
    outcome: Outcome
    reason: str
    rule: str | None = None
    text: str | None = None
    raw: str | None = None
    is_multi_line: bool = False
    steps: tuple[Step, ...] = ()
    confidence: float | None = None
    threshold: float | None = None
    cache: str = "none"
    context: tuple[tuple[str, str, int], ...] = ()  # source, path, characters
    tokens: Tokens = field(default_factory=Tokens)
    times: Times = field(default_factory=Times)
    bundle: str | None = None
    build: str | None = None  # SHA-256 of the bundle.json that answered
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_json(self) -> dict[str, Any]:
        """As `submodel/explain` shows it."""
        return {
            "id": self.id,
            "time": self.time.isoformat(timespec="milliseconds"),
            "uri": self.uri,
            "line": self.line,
            "character": self.character,
            "language": self.language,
            "trigger": "invoked" if self.is_invoked else "automatic",
            "outcome": self.outcome.value,
            "reason": self.reason,
            "rule": self.rule,
            "text": self.text,
            "raw": self.raw,
            "isMultiLine": self.is_multi_line,
            "steps": [vars(step) for step in self.steps],
            "confidence": self.confidence,
            "threshold": self.threshold,
            "cache": self.cache,
            "context": [
                {"source": source, "path": path, "characters": characters} for source, path, characters in self.context
            ],
            "tokens": vars(self.tokens),
            "milliseconds": {name: round(value, 2) for name, value in vars(self.times).items()},
            "bundle": self.bundle,
            "build": self.build,
        }


class DecisionLog:
    """The last KEPT decisions."""

    def __init__(self) -> None:
        self._kept: deque[Decision] = deque(maxlen=KEPT)
        self._last_id = 0

    def next_id(self) -> int:
        """A number that no decision has yet."""
        self._last_id += 1
        return self._last_id

    def add(self, decision: Decision) -> None:
        """Keep one, as the newest."""
        self._kept.append(decision)

    def newest(self, count: int = 1, uri: str | None = None) -> list[Decision]:
        """Up to `count` of them, newest first, of one document where it is named."""
        found = [decision for decision in reversed(self._kept) if uri is None or decision.uri == uri]
        return found[: max(0, count)]

"""Traces: what became of each request, kept for `submodel/explain`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.steps import Step
from lsp_server.suggestion.withheld import without_refused
from lsp_server.syntax.grammars import language_name

KEPT = 50


class Outcome(StrEnum):
    """What the user saw; the values are the protocol's."""

    SHOWN = "shown"
    NOTHING = "nothing"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(kw_only=True)
class Trace:
    """Why a request showed something or nothing. A trace is filled in while the request is answered."""

    id: int
    uri: str
    line: int
    character: int
    language: str | None
    is_invoked: bool
    bundle: str | None
    started_s: float  # by the session's clock
    outcome: Outcome = Outcome.NOTHING
    reason: str = ""
    rule: str | None = None
    text: str | None = None
    answer: Completion | None = None  # the model's; None if it was not asked, or failed
    steps: tuple[Step, ...] = ()
    confidence: float | None = None
    build: str | None = None  # SHA-256 of the bundle.json that answered
    cache: str = "none"
    debounce_ms: float = 0.0
    total_ms: float = 0.0
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def note_answer(self, answer: Completion, request: CompletionRequest) -> None:
        """Take what the model answered, but no text that may not be given out."""
        self.answer = answer = without_refused(answer, request)
        self.steps, self.confidence, self.build = answer.steps, answer.confidence, answer.build

    def to_json(self) -> dict[str, Any]:
        """Return the trace as `submodel/explain` shows it."""
        answer = self.answer or Completion()
        times = {"debounce": self.debounce_ms, "queue": answer.queue_ms, "model": answer.milliseconds}
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
            "raw": answer.raw if self.answer is not None else None,
            "isMultiLine": answer.is_multi_line,
            "steps": [vars(step) for step in self.steps],
            "confidence": self.confidence,
            "threshold": answer.threshold,
            "cache": self.cache,
            "tokens": {"prompt": answer.prompt_tokens, "computed": answer.computed_tokens, "generated": answer.tokens},
            "milliseconds": {name: round(value, 2) for name, value in {**times, "total": self.total_ms}.items()},
            "bundle": self.bundle,
            "build": self.build,
        }


class TraceLog:
    """The last KEPT traces."""

    def __init__(self) -> None:
        self._kept: deque[Trace] = deque(maxlen=KEPT)
        self._last_id = 0

    def next_id(self) -> int:
        """Return a number that no trace has yet."""
        self._last_id += 1
        return self._last_id

    def begin(self, request: CompletionRequest, started_s: float) -> Trace:
        """Return the trace of a request that has come; it is kept once it is added."""
        return Trace(
            id=self.next_id(),
            uri=request.client.uri,
            line=request.client.line,
            character=request.client.character,
            language=language_name(request.path, request.language_id),
            is_invoked=request.is_invoked,
            bundle=str(request.bundle) if request.bundle else None,
            started_s=started_s,
        )

    def add(self, trace: Trace) -> None:
        """Keep a trace, as the newest. Its `time` is now, when it ended."""
        trace.time = datetime.now(UTC)
        self._kept.append(trace)

    def newest(self, count: int = 1, uri: str | None = None) -> list[Trace]:
        """Return up to `count` traces, newest first; only those of one document if `uri` is given."""
        found = [trace for trace in reversed(self._kept) if uri is None or trace.uri == uri]
        return found[: max(0, count)]

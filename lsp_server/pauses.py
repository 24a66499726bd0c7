"""Whether a client wants suggestions at all: the option `enabled`, a pause, and a snooze, which ends by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lsp_server.suggestion.steps import Step
from lsp_server.triggers import refuse

SNOOZE_MINUTES = 5.0
MAX_SNOOZE_MINUTES = 7 * 24 * 60.0


class Pauses:
    """The pause and the snooze of a client. Snoozed, it still asks by hand."""

    def __init__(self) -> None:
        self.is_paused = False
        self.snoozed_until: datetime | None = None

    @property
    def snooze_end(self) -> datetime | None:
        """When the snooze ends, by the clock here; None if there is none or it has ended."""
        until = self.snoozed_until
        return until.astimezone() if until is not None and datetime.now(UTC) < until else None

    def pause(self) -> None:
        """Answer nothing until `resume`."""
        self.is_paused = True

    def snooze(self, minutes: float = SNOOZE_MINUTES) -> float:
        """Answer only requests by hand for `minutes`, MAX_SNOOZE_MINUTES at most; return how many minutes."""
        minutes = min(minutes, MAX_SNOOZE_MINUTES)
        self.snoozed_until = datetime.now(UTC) + timedelta(minutes=minutes)
        return minutes

    def resume(self) -> None:
        """End a pause or a snooze."""
        self.is_paused, self.snoozed_until = False, None

    def find_refusal(self, *, is_enabled: bool, is_invoked: bool) -> Step | None:
        """Return why nothing is suggested; None if suggestions are on. is_enabled: the client's option."""
        if not is_enabled:
            return refuse("disabled", "submodel is switched off (option enabled)")
        if self.is_paused:
            return refuse("paused", "submodel is paused")
        if (end := self.snooze_end) is not None and not is_invoked:
            return refuse("snoozed", f"submodel is snoozed until {end:%H:%M}")
        return None

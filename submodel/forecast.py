"""How long a whole run takes: the expected seconds of its stages, corrected by what they took so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FIXED: Final = "finetune"  # fine-tuning takes the minutes that it was given, on any machine
_TRUSTED_S: Final = 3.0  # of expected work after which measured speed outweighs what was expected


class Forecast:
    """Seconds that are left of a build. expected: seconds of each stage to come, by name, in order."""

    def __init__(self, expected: Mapping[str, float]) -> None:
        self.expected = dict(expected)
        self._ended: dict[str, float] = {}  # seconds that each stage took

    def end(self, stage: str, seconds: float) -> None:
        """A stage has ended. One that was kept from an earlier build took none."""
        if stage in self.expected:
            self._ended[stage] = seconds

    def left_s(self, running: str | None = None, spent_s: float = 0.0, left_s: float | None = None) -> float:
        """Seconds until the build ends. `left_s` is what the running stage says of itself, None if it can't yet."""
        slowness = self._slowness(running, spent_s, left_s)
        total = 0.0
        for stage, expected in self.expected.items():
            scaled = expected if stage.startswith(FIXED) else expected * slowness
            if stage == running:
                total += left_s if left_s is not None else max(scaled - spent_s, 0.0)
            elif stage not in self._ended:
                total += scaled
        return total

    def _slowness(self, running: str | None, spent_s: float, left_s: float | None) -> float:
        """Measured seconds for an expected second, over the stages whose time the machine decides."""
        measured = expected = _TRUSTED_S
        took = {stage: (seconds, 1.0) for stage, seconds in self._ended.items() if seconds > 0}
        if running in self.expected and spent_s > 0:
            if left_s is not None:
                took[running] = (spent_s + left_s, spent_s / (spent_s + left_s))
            elif spent_s > self.expected[running]:  # it takes at least that
                took[running] = (spent_s, 1.0)
        for stage, (seconds, share) in took.items():
            if not stage.startswith(FIXED):
                measured += seconds * share
                expected += self.expected[stage] * share
        return measured / expected

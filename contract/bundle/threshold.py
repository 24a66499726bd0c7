"""The confidence threshold: how sure a model must be for a wanted share of its suggestions to be right.

A build asks the bundle for lines of validation files, and this turns the answers into a curve: for each threshold on
the model's probability how many answers are shown (coverage) and how many of those are right (precision). The bundle
keeps it under "threshold" in bundle.json; the server reads the threshold for the precision that its user picks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.documents import ThresholdFacts, ThresholdPoint
from contract.errors import BundleError

KEY = "threshold"  # in bundle.json
MIN_SHOWN = 10  # answers; the precision of fewer is meaningless
# On a hard line each keystroke brings a suggestion, and nearly all of those below this are wrong (docs/LOG.md).
LEAST_CONFIDENCE = 0.02
_MAX_POINTS = 60


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """What comes of showing the answers whose confidence is at least `threshold`; shares of 1."""

    threshold: float
    coverage: float  # shown of all positions
    precision: float  # right of the shown

    def to_json(self) -> ThresholdPoint:
        """As it stands in bundle.json and in the status."""
        return {"threshold": self.threshold, "coverage": self.coverage, "precision": self.precision}


@dataclass(frozen=True, kw_only=True)
class ConfidenceThreshold:
    """The curve, by rising threshold, and how many positions it was measured on."""

    positions: int
    curve: tuple[CurvePoint, ...]

    def at(self, precision: float) -> CurvePoint | None:
        """The point that shows most among those that reach `precision`; the most precise where none does.

        Points below LEAST_CONFIDENCE do not count if there are others: two places a line, as the curve has them, are
        easier than each keystroke. None where nothing was measured.
        """
        sure = [point for point in self.curve if point.threshold >= LEAST_CONFIDENCE] or self.curve[-1:]
        good = [point for point in sure if point.precision >= precision]
        if good:
            return max(good, key=lambda point: point.coverage)
        return max(sure, key=lambda point: (point.precision, point.coverage), default=None)

    def to_json(self) -> ThresholdFacts:
        """As it stands in bundle.json."""
        return {"positions": self.positions, "curve": [point.to_json() for point in self.curve]}


def fit_curve(answers: Sequence[tuple[float, bool]], positions: int) -> ConfidenceThreshold:
    """The curve from (confidence, whether it was right) of each answer that was not empty, on `positions` places.

    Answers of the same confidence are shown together or not at all. A threshold under which fewer than MIN_SHOWN
    answers are shown has no point.
    """
    ranked = sorted(answers, reverse=True)
    points: list[CurvePoint] = []
    right = 0
    for shown, (confidence, is_right) in enumerate(ranked, start=1):
        right += is_right
        is_last_of_its_kind = shown == len(ranked) or ranked[shown][0] < confidence
        if is_last_of_its_kind and shown >= MIN_SHOWN:
            points.append(CurvePoint(threshold=confidence, coverage=shown / positions, precision=right / shown))
    return ConfidenceThreshold(positions=positions, curve=tuple(reversed(_thinned(points))))


def read_threshold(manifest: Mapping[str, Any]) -> ConfidenceThreshold | None:
    """Return the confidence threshold of a bundle's manifest, or None if its build fitted none.

    Raises BundleError if the manifest holds something else under that key.
    """
    document = manifest.get(KEY)
    if document is None:
        return None
    try:
        curve = tuple(CurvePoint(**{key: float(value) for key, value in point.items()}) for point in document["curve"])
        return ConfidenceThreshold(positions=int(document["positions"]), curve=curve)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleError(
            f"The confidence threshold in bundle.json can't be read ({error!r}); run `submodel build` again."
        ) from error


def _thinned(points: list[CurvePoint]) -> list[CurvePoint]:
    """At most _MAX_POINTS of them, evenly spread, both ends included."""
    if len(points) <= _MAX_POINTS:
        return points
    step = (len(points) - 1) / (_MAX_POINTS - 1)
    return [points[round(index * step)] for index in range(_MAX_POINTS)]

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.bundle.threshold import MIN_SHOWN, ConfidenceThreshold, CurvePoint, fit_curve, read_threshold
from contract.errors import BundleError

ANSWERS = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), min_size=MIN_SHOWN)


@given(ANSWERS, st.integers(0, 20))
def test_every_point_is_what_counting_gives(answers: list[tuple[float, bool]], empty: int) -> None:
    positions = len(answers) + empty
    confidence_threshold = fit_curve(answers, positions)
    assert confidence_threshold.curve, "all answers together make a point at least"
    for point in confidence_threshold.curve:
        shown = [right for confidence, right in answers if confidence >= point.threshold]
        assert point.coverage == pytest.approx(len(shown) / positions)
        assert point.precision == pytest.approx(sum(shown) / len(shown))
        assert len(shown) >= MIN_SHOWN
    thresholds = [point.threshold for point in confidence_threshold.curve]
    assert thresholds == sorted(set(thresholds))


def test_wanted_precision_shows_as_much_as_it_can() -> None:
    answers = [(0.9, True)] * 10 + [(0.6, True)] * 5 + [(0.6, False)] * 5 + [(0.2, False)] * 20
    confidence_threshold = fit_curve(answers, 50)
    assert [(point.threshold, point.coverage) for point in confidence_threshold.curve] == [
        (0.2, 0.8),
        (0.6, 0.4),
        (0.9, 0.2),
    ]
    chosen = [confidence_threshold.at(precision) for precision in (0.0, 0.7, 0.75, 0.8, 1.0)]
    assert [point.threshold for point in chosen if point] == [0.2, 0.6, 0.6, 0.9, 0.9]


def test_what_the_model_itself_hardly_believes_is_not_shown() -> None:
    curve = tuple(CurvePoint(threshold=at, coverage=1 - at, precision=0.6) for at in (1e-7, 0.019, 0.03, 0.5))
    point = ConfidenceThreshold(positions=50, curve=curve).at(0.5)
    assert point is not None
    assert point.threshold == 0.03
    low = ConfidenceThreshold(positions=50, curve=curve[:2]).at(0.5)
    assert low is not None
    assert low.threshold == 0.019, "the highest that was measured"


def test_what_no_threshold_reaches_gives_the_most_precise() -> None:
    answers = [(0.9, index % 2 == 0) for index in range(20)] + [(0.1, False)] * 20
    point = fit_curve(answers, 40).at(0.9)
    assert point is not None
    assert point.threshold == 0.9
    assert ConfidenceThreshold(positions=0, curve=()).at(0.5) is None


def test_too_few_answers_make_no_point() -> None:
    assert fit_curve([(0.9, True)] * (MIN_SHOWN - 1), 20).curve == ()
    assert len(fit_curve([(0.9, True)] * MIN_SHOWN, 20).curve) == 1


def test_round_trip_through_the_manifest() -> None:
    confidence_threshold = fit_curve([(index / 200, index % 3 == 0) for index in range(200)], 250)
    assert len(confidence_threshold.curve) == 60
    assert read_threshold(json.loads(json.dumps({"threshold": confidence_threshold.to_json()}))) == confidence_threshold
    assert read_threshold({}) is None


@pytest.mark.parametrize(
    "document",
    [
        {"curve": []},
        {"positions": 3, "curve": [[1]]},
        7,
        {"positions": 1, "curve": 1},
        {"positions": math.inf, "curve": []},
    ],
)
def test_no_threshold(document: object) -> None:
    with pytest.raises(BundleError, match="threshold"):
        read_threshold({"threshold": document})

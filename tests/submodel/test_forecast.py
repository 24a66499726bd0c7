"""The time that a build still takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.bases.resolve import ResolvedBase
from submodel.build.build_settings import BuildSettings
from submodel.build.stage_times import expected_stages
from submodel.forecast import Forecast

EXPECTED = {"score the base": 100.0, "prune": 200.0, "finetune": 240.0, "export": 150.0}
BASE = ResolvedBase(name="smollm2-135m", path=Path("unread"), source="", why="")


def test_at_first_it_is_what_was_expected() -> None:
    assert Forecast(EXPECTED).left_s() == 690


@given(st.floats(0.2, 5), st.floats(0.1, 1))
def test_a_slower_machine_is_seen_while_the_first_stage_runs(slowness: float, share: float) -> None:
    """Within a quarter, from a tenth of the first stage on; the minutes of fine-tuning stay what they are."""
    first, others, fixed = 100.0, 350.0, 240.0
    left = Forecast(EXPECTED).left_s("score the base", share * first * slowness, (1 - share) * first * slowness)
    truth = (1 - share) * first * slowness + others * slowness + fixed
    expected_anyway = (1 - share) * first * slowness + others + fixed
    assert min(truth, expected_anyway) - 1e-6 <= left <= max(truth, expected_anyway) + 1e-6
    assert abs(left - truth) <= 0.25 * truth


def test_a_stage_that_was_kept_takes_no_time_and_teaches_nothing() -> None:
    forecast = Forecast(EXPECTED)
    forecast.end("score the base", 0.0)
    forecast.end("a stage of its own", 99.0)
    assert forecast.left_s() == 590


def test_a_stage_that_takes_longer_than_expected_says_so_of_those_to_come() -> None:
    forecast = Forecast({"prune": 10.0, "finetune": 60.0, "export": 20.0})
    assert forecast.left_s("prune", 9.0) == 81
    assert forecast.left_s("prune", 500.0) == pytest.approx(60 + 20 * 503 / 13), "and it has no negative rest itself"


@pytest.mark.parametrize(
    ("size", "positions", "expected"),
    [
        (
            0.6,
            93,
            {"prune": 40.4, "finetune": 126.7, "export": 26.9, "score the base": 74, "score the sub-model": 40.4},
        ),
        (1.0, 0, {"prune": 2.69, "finetune": 126.7, "export": 26.9}),
    ],
)
def test_what_a_build_is_expected_to_take(size: float, positions: int, expected: dict[str, float]) -> None:
    settings = BuildSettings(repository=Path(), output=Path(), size=size, minutes=2, positions=positions)
    assert expected_stages(settings, BASE) == pytest.approx(expected, rel=0.01)

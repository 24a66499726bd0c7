"""The time that a build still takes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from builder.bases.resolve import ResolvedBase
from contract.files.state_folder import VARIABLE
from submodel.build import stage_times
from submodel.build.build_settings import BuildSettings
from submodel.build.stage_times import REMEMBERED, expected_stages, remember_stages
from submodel.build.stages import StageRecord
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


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildSettings:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    return BuildSettings(repository=tmp_path, output=tmp_path / "out", minutes=2, positions=10)


def record(name: str, seconds: float, *, is_fresh: bool = True) -> StageRecord:
    return StageRecord(name=name, seconds=seconds, result={}, is_fresh=is_fresh)


def test_the_next_build_expects_what_the_last_ones_took(settings: BuildSettings, tmp_path: Path) -> None:
    before = expected_stages(settings, BASE)
    assert list(before) == ["prune", "finetune", "export", "score the base", "score the sub-model"]
    for seconds in (1.0, 50.0, 60.0, 70.0):
        records = [record("score the base", 5), record("prune", seconds), record("finetune", 130), record("export", 1)]
        records += [
            record("export", 9, is_fresh=False),
            record("another", 3),
            record("score the sub-model", 2),
        ]
        remember_stages(settings, BASE, records)
    after = expected_stages(settings, BASE)
    assert after["prune"] == pytest.approx(60, rel=1e-3)
    assert after["finetune"] == pytest.approx(130, rel=1e-3)
    assert after["score the base"] == pytest.approx(5, rel=0.02)
    assert after["score the sub-model"] == pytest.approx(2, rel=0.02)
    kept = json.loads((tmp_path / "state" / "stage-times.json").read_text())
    assert all(len(paces) <= REMEMBERED for paces in kept[BASE.name].values())


def test_a_build_that_stood_still_is_not_what_the_next_one_expects(settings: BuildSettings) -> None:
    for seconds in (60.0, 8 * 3600.0):
        remember_stages(settings, BASE, [record("export", seconds)])
    assert expected_stages(settings, BASE)["export"] == pytest.approx(60, rel=1e-3)


def test_a_fine_tuning_that_was_resumed_is_not_what_the_next_one_takes(settings: BuildSettings) -> None:
    for seconds in (150.0, 12.0, 15.0):
        remember_stages(settings, BASE, [record("finetune", seconds)])
    assert expected_stages(settings, BASE)["finetune"] == pytest.approx(150, rel=1e-3)


def test_builds_that_end_together_lose_nothing(settings: BuildSettings, tmp_path: Path) -> None:
    names = [f"base-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: remember_stages(settings, replace(BASE, name=name), [record("prune", 5)]), names))
    assert json.loads((tmp_path / "state" / "stage-times.json").read_text()).keys() == set(names)


@pytest.mark.parametrize("text", ["", "[]", '{"smollm2-135m": 1}', '{"smollm2-135m": {"prune": ["x"]}}'])
def test_a_damaged_memory_is_passed_over(settings: BuildSettings, tmp_path: Path, text: str) -> None:
    expected = expected_stages(settings, BASE)
    (tmp_path / "state" / "stage-times.json").write_text(text)
    assert expected_stages(settings, BASE) == expected


def test_a_build_that_prunes_nothing_teaches_nothing_about_pruning(settings: BuildSettings) -> None:
    whole = replace(settings, size=1.0)
    for one, seconds in ((settings, 30.0), (whole, 1.0)):
        remember_stages(one, BASE, [record("prune", seconds)])
    assert expected_stages(settings, BASE)["prune"] == pytest.approx(30.0, rel=1e-3)
    assert expected_stages(whole, BASE)["prune"] == pytest.approx(1.0, rel=1e-3)


def test_a_build_does_not_wait_without_end_for_one_that_is_stopped(
    settings: BuildSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_times, "LOCK_TIMEOUT_S", 0.0)
    remember_stages(settings, BASE, [record("prune", 5.0)])
    with FileLock(tmp_path / "state" / "stage-times.lock"):
        remember_stages(settings, BASE, [record("prune", 50.0)])
    assert expected_stages(settings, BASE)["prune"] == pytest.approx(5.0, rel=1e-3)

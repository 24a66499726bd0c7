"""What following a repository is worth, from answers."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import builds
from benchmarks.following_commits import (
    UNITS,
    check_same_build,
    follow,
    gains,
    points_of,
)


def point(**exact: str) -> dict[str, object]:
    """Positions of one commit each."""
    models = {arm: {"exact": bits, "bits": [2.0 - int(bit) for bit in bits]} for arm, bits in exact.items()}
    return {"positions": 4, "clusters": [0, 1, 2, 3], "models": models}


@pytest.mark.parametrize("unit", UNITS)
def test_gains_stand_beside_that_of_a_build(unit: str) -> None:
    first = point(never="1111")
    found = gains([first, point(never="0000", update="1000", build="1100")], UNITS[unit])

    assert found is not None
    assert (found["positions"], found["update"]["value"], found["build"]["value"]) == (4, 0.25, 0.5)
    assert found["update_less_0.8_of_build"]["value"] == pytest.approx(0.25 - 0.4)
    assert found["share_of_build"] == 0.5
    assert gains([first], UNITS[unit]) is None


def test_a_share_of_nothing_is_none() -> None:
    found = gains([point(never="1010", update="1010", build="1010")], UNITS["lines right"])

    assert found is not None
    assert found["share_of_build"] is None


def test_what_is_no_build_of_this_version_is_not_followed(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="leave --built out"):
        check_same_build(tmp_path, "a" * 40)


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_copied_build_has_no_time(is_copied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".submodel").mkdir()
    monkeypatch.setattr(builds, "timed_run", lambda *_: {"seconds": 5.0, "stages": [], "finetuning": {}})
    arguments = Namespace(base="b", build_options=[], built=tmp_path if is_copied else None)

    took = dict(follow("never", 0, tmp_path, tmp_path, "a" * 40, arguments))

    assert ("seconds" in took, "stages" in took) == (not is_copied, not is_copied)
    assert "finetuning" in took


@pytest.mark.parametrize("at", ["200,180,160", "100,200"])
def test_lines_of_a_commit_are_asked_at_one_point(at: str) -> None:
    assert points_of("300,200,100,50", 50) == [300, 200, 100, 50]
    with pytest.raises(SystemExit, match="less than --ahead 50"):
        points_of(at, 50)

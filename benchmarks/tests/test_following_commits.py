"""What following a repository is worth, from answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.following_commits import UNITS, check_same_build, gains, read_mark


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


def test_what_another_run_made_is_not_gone_on_with(tmp_path: Path) -> None:
    mark = tmp_path / "mark.json"
    mark.write_text(json.dumps({"origin": {"commit": "a"}, "seconds": 1.5}))

    assert read_mark(mark, {"commit": "a"})["seconds"] == 1.5
    with pytest.raises(SystemExit, match="begin anew"):
        read_mark(mark, {"commit": "b"})

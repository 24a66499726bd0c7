"""What following a repository is worth, from answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.following_commits import finetuned, read_mark


def test_gains_stand_beside_that_of_a_build() -> None:
    exact = {"never": "0000", "memory": "0000", "update": "1000", "build": "1100"}

    found = finetuned([{"models": {arm: {"exact": bits} for arm, bits in exact.items()}}])

    assert found is not None
    assert found["gain_less_that_of_build"]["update"]["value"] == -0.25
    assert found["share_of_build"] == {"memory": 0.0, "update": 0.5}


def test_a_share_of_nothing_is_none() -> None:
    models = {arm: {"exact": "1010"} for arm in ("never", "memory", "update", "build")}

    found = finetuned([{"models": models}])

    assert found is not None
    assert found["share_of_build"] == {"memory": None, "update": None}


def test_what_another_run_made_is_not_gone_on_with(tmp_path: Path) -> None:
    mark = tmp_path / "mark.json"
    mark.write_text(json.dumps({"origin": {"commit": "a"}, "seconds": 1.5}))

    assert read_mark(mark, {"commit": "a"})["seconds"] == 1.5
    with pytest.raises(SystemExit, match="begin anew"):
        read_mark(mark, {"commit": "b"})

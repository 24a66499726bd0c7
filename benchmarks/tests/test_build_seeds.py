"""How far builds differ, from their answers."""

from __future__ import annotations

import math

import pytest

from benchmarks.build_seeds import spread


def build(exact: str, bits: list[float], lines: str = "the same") -> dict[str, object]:
    return {"lines_sha256": lines, "exact": exact, "bits": bits, "exact_match": exact.count("1") / len(exact)}


def test_builds_differ_by_their_standard_deviation() -> None:
    found = spread([build("1100", [1.0] * 4), build("1000", [2.0] * 4), build("1110", [3.0] * 4)])

    assert found["lines right"]["values"] == [0.5, 0.25, 0.75]
    assert found["lines right"]["mean"] == pytest.approx(0.5)
    assert found["lines right"]["deviation"] == pytest.approx(0.25)
    assert found["lines right"]["two_builds_differ_by"] == pytest.approx(4.303 * math.sqrt(2) * 0.25)
    assert found["bits a line"]["deviation"] == pytest.approx(1.0)
    assert found["lines"] == {"all": 1, "some": 2, "none": 1}


def test_equal_builds_have_no_spread() -> None:
    found = spread([build("10", [1.0, 2.0])] * 3)

    assert found["lines right"]["two_builds_differ_by"] == 0
    assert found["lines"] == {"all": 1, "some": 0, "none": 1}


def test_builds_of_other_lines_are_refused() -> None:
    with pytest.raises(SystemExit, match="different lines"):
        spread([build("10", [1.0, 2.0]), build("10", [1.0, 2.0], lines="others, as many")])

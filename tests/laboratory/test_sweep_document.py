"""Curves and matrices from rows, and their picture."""

import math
import re

import pytest

from laboratory.experiments.pictures import draw_sweep
from laboratory.experiments.sweep_document import (
    make_curves,
    make_matrices,
    make_rankings,
    own_gains,
    without_snippets,
)
from testbed.reports import sweep_row as row


def snippets(nats):
    """Figures of four pieces of ten bytes."""
    bits = sum(nats) / math.log(2) / 40
    return {"bits_per_byte": bits, "excerpt_nats": nats, "excerpt_bytes": [10] * 4}


ROWS = [
    row("dense", 0.0, "", None, py=0.5, js=0.6),
    row("wanda", 0.5, "py", 0, py=0.70, js=0.90),
    row("wanda", 0.5, "py", 1, py=0.74, js=0.94),
    row("wanda", 0.5, "js", 0, py=0.80, js=0.70),
    row("wanda", 0.5, "js", 1, py=0.80, js=0.72),
    row("wanda", 0.5, "py+js", 0, py=0.60, js=0.65),
    row("wanda", 0.5, "py+js", 1, py=0.60, js=0.67),
]


def test_a_curve_begins_at_the_dense_base_and_joins_seeds():
    curves = {(one["calibration"], one["measured_on"]): one for one in make_curves(ROWS)}
    assert len(curves) == 6
    assert curves["py", "py"]["points"] == [[0.0, 0.5, 0.5, 0.5], [0.5, pytest.approx(0.72), 0.70, 0.74]]
    assert curves["py", "py"]["is_own"] and not curves["py", "js"]["is_own"]


def test_a_matrix_tells_whether_the_diagonal_is_best():
    (matrix,) = make_matrices(ROWS)
    assert matrix["calibrated_on"] == ["py", "js", "py+js"]
    assert matrix["measured_on"] == ["py", "js"]
    assert matrix["mean"][0] == pytest.approx([0.72, 0.92])
    assert matrix["spread"][1] == pytest.approx([0.0, 0.0002**0.5])
    best = matrix["diagonal_is_best"]
    assert best["py"]["is_best"] and best["py"]["gain"] == pytest.approx(0.08)
    assert best["py"]["gain_by_seed"] == pytest.approx([0.10, 0.06])
    assert best["js"]["gain"] == pytest.approx(0.92 - 0.71)
    assert best["js"]["gain_by_seed"] == pytest.approx([0.90 - 0.70, 0.94 - 0.72])
    assert best["py"]["over_mixed"] == {
        "is_best": False,
        "gain": pytest.approx(0.60 - 0.72),
        "gain_by_seed": pytest.approx([0.60 - 0.70, 0.60 - 0.74]),
    }


LEVELS = ([0.8, 1.1, 0.7, 0.9], [0.1, 0.0, 0.3, 0.2])  # of four calibrations, and of the datasets


def test_an_own_gain_is_found_behind_better_calibrations_and_easier_datasets():
    """The planted gain of 0.08 is 0.06 beside the levels, which hold it too; the best other one hides it."""
    square = [[row + column - 0.08 * (i == j) for j, column in enumerate(LEVELS[1])] for i, row in enumerate(LEVELS[0])]
    assert own_gains(square) == pytest.approx([0.06] * 4)
    names = ("a", "b", "c", "d")
    rows = [
        row("wanda", 0.5, name, seed, **dict(zip(names, bits, strict=True)))
        for name, bits in zip(names, square, strict=True)
        for seed in (0, 1)
    ]
    (matrix,) = make_matrices([row("wanda", 0.5, "a+b", seed, a=0.1, b=0.1, c=0.1, d=0.1) for seed in (0, 1)] + rows)
    assert matrix["own_gain"] == {name: pytest.approx([0.06, 0.06]) for name in names}
    assert [one["is_best"] for one in matrix["diagonal_is_best"].values()] == [False, False, True, False]


def test_a_diagonal_that_loses_is_reported():
    rows = [row("wanda", 0.5, "py", 0, py=0.9, js=0.8), row("wanda", 0.5, "js", 0, py=0.8, js=0.7)]
    (matrix,) = make_matrices(rows)
    assert matrix["diagonal_is_best"]["py"] == {"is_best": False, "gain": pytest.approx(-0.1)}
    assert "spread" not in matrix
    assert make_matrices(rows[:1]) == []


def test_cells_are_compared_over_the_seeds_that_all_of_them_have():
    lost = [one for one in ROWS if (one["calibration"], one["seed"]) not in ((["py"], 0), (["js"], 1))]
    assert make_matrices(lost) == []
    (matrix,) = make_matrices([*lost, row("wanda", 0.5, "js", 1, py=0.80, js=0.72)])
    assert matrix["seeds"] == 1 and "spread" not in matrix
    assert matrix["mean"] == [[0.74, 0.94], [0.80, 0.72], [0.60, 0.67]]


def test_the_gain_has_an_interval_over_pieces_of_text():
    """Of two calibrations and two seeds: the better one wins on three pieces of four, by their means over seeds."""
    nats = {
        ("py", 0): [5.0, 6.0, 7.0, 9.0],
        ("py", 1): [7.0, 8.0, 9.0, 9.0],
        ("js", 0): [8.0, 9.0, 10.0, 8.0],
        ("js", 1): [8.0, 9.0, 10.0, 8.0],
    }
    rows = [
        {**row("wanda", 0.5, name, seed), "quality": {"py": snippets(values), "js": snippets([1.0, 1.0, 1.0, 1.0])}}
        for (name, seed), values in nats.items()
    ]
    reported = make_matrices(rows)[0]["diagonal_is_best"]["py"]
    bit = math.log(2) * 40
    assert reported["gain"] == pytest.approx((35 - 30) / bit)
    assert reported["gain_by_seed"] == pytest.approx([(35 - 27) / bit, (35 - 33) / bit])
    low, high = reported["gain_interval"]
    assert low == pytest.approx(-1 / bit) and high == pytest.approx(8 / bit)  # the last piece thrice; never
    assert without_snippets(rows)[0]["quality"]["py"].keys() == {"bits_per_byte"}
    for one in rows:
        one["quality"]["py"]["excerpt_files"] = ["a.py"] * 3 + ["b.py"]
    low, high = make_matrices(rows)[0]["diagonal_is_best"]["py"]["gain_interval"]
    assert low == pytest.approx(-4 / bit), "the last piece alone, which is a file"


def ranked(method, seed, nats, **other):
    return {**row(method, 0.5, "py", seed), "removed_share": 0.4, "quality": {"py": snippets(nats)}, **other}


def test_methods_of_one_ratio_are_ranked_with_an_interval_over_pieces():
    rows = [
        ranked("magnitude", 0, [9.0, 9.0, 9.0, 9.0]),
        ranked("wanda", 0, [7.0, 8.0, 6.0, 8.0], removed_share=0.41),
        ranked("sparsegpt", 0, [7.0, 6.0, 7.0, 6.0]),
        ranked("structured", 0, [1.0, 1.0, 1.0, 1.0]),  # its ratio is another
        ranked("wanda", 0, [1.0, 1.0, 1.0, 1.0], sparsity=0.4),  # alone at its ratio
    ]
    (ranking,) = make_rankings(rows)
    assert (ranking["calibration"], ranking["measured_on"], ranking["seeds"]) == ("py", "py", 1)
    assert ranking["sparsity"] == 0.5 and ranking["removed_share"] == pytest.approx((0.4 + 0.41 + 0.4) / 3)
    assert [one["method"] for one in ranking["methods"]] == ["sparsegpt", "wanda", "magnitude"]
    first, second, last = ranking["methods"]
    bit = math.log(2) * 40
    assert first["over_next"]["gain"] == pytest.approx(3 / bit)
    assert first["over_next"]["gain_interval"] == pytest.approx([-2 / bit, 8 / bit])
    assert second["over_next"]["gain_interval"] == pytest.approx([4 / bit, 11 / bit], abs=1.01 / bit)
    assert "over_next" not in last


def test_the_picture_shows_own_datasets_and_cuts_off_what_is_far_away():
    rows = [*ROWS, row("wanda", 0.7, "py", 0, py=9.0, js=9.0)]
    page = draw_sweep({"curves": make_curves(rows)})
    assert len(re.findall('<path d="M[^"]*L', page)) == 2  # lines
    assert "wanda, py (more beyond)" in page
    assert all(f">{ratio}<" in page for ratio in ("0.0", "0.5"))
    assert "9.0" not in re.sub(r'"[^"]*"', "", page)

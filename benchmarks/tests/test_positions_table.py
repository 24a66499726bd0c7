"""Figures over several repositories."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.positions_table import TUNED, UNTUNED, lead, print_known, print_lines, print_llama_vscode, saving


def test_the_lead_is_the_difference_over_all_lines_and_repositories_stay_apart() -> None:
    # One repository where ours is always ahead, one where neither is: between them nothing varies.
    drawn = lead([[[(1, 0)]] * 10, [[(1, 1)]] * 30])

    assert drawn.value == drawn.low == drawn.high == 25.0


def test_lines_of_one_commit_vary_together() -> None:
    lines = [(1, 0)] * 20 + [(0, 0)] * 20
    alone, together = lead([[[line] for line in lines]]), lead([[lines[:20], lines[20:]]])

    assert alone.value == together.value == 50.0
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_saving_is_that_of_all_bits_together() -> None:
    drawn = saving([[(1.0, 2.0)] * 5, [(9.0, 8.0)] * 5])

    assert drawn.value == pytest.approx(0.0)
    assert drawn.low == pytest.approx(0.0)


def test_middles_of_one_file_vary_together() -> None:
    nats = [(1.0, 2.0)] * 20 + [(3.0, 2.0)] * 20
    alone, together = saving([nats]), saving([nats], [["a.py"] * 20 + ["b.py"] * 20])

    assert alone.value == together.value == pytest.approx(0.0)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    apart = saving([[(1.0, 2.0)] * 4, [(9.0, 8.0)] * 4], [["a.py", "a.py", "b.py", "b.py"]] * 2)
    assert (apart.value, apart.low) == pytest.approx((0.0, 0.0))


def _positions(files: str = "llll", **exact: str) -> dict[str, Any]:
    later = {"exact": exact, "clusters": [0, 0, 1, 1], "files": files, "texts": "nnnn", "tests": "nnnn"}
    return {"kinds": {"later": later}}


def test_each_repository_is_compared_with_its_better_peer(capsys: pytest.CaptureFixture[str]) -> None:
    documents = {
        "one": _positions(submodel="1111", llama="1000", other="1100"),
        "two": _positions(submodel="1111", llama="1000", other="0100"),  # equal: the first counts
        "alone": _positions(submodel="1110"),
    }

    print_lines("later", "submodel", documents)

    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line]
    rows = [[cell.strip() for cell in row] for row in rows]
    assert [row[:5] for row in rows[2:8]] == [
        ["one", "4", "100.0 %", "other", "50.0 %"],
        ["one", "4", "", "llama", "25.0 %"],
        ["two", "4", "100.0 %", "llama", "25.0 %"],
        ["two", "4", "", "other", "25.0 %"],
        ["alone", "4", "75.0 %", "none", ""],
        ["all", "8", "100.0 %", "the better of each", "37.5 %"],
    ]
    assert rows[7][5].startswith("+62.5 ")


def test_the_tuned_dense_baseline_is_no_peer_and_has_rows_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    tuned = {TUNED: "1110"}
    documents = {
        "one": _positions(submodel="1111", llama="1000", **tuned),
        "two": _positions(submodel="1111", llama="1000"),
    }

    print_lines("later", "submodel", documents)

    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines() if line]
    assert [row[:5] for row in rows[2:7]] == [
        ["one", "4", "100.0 %", "llama", "25.0 %"],
        ["one", "4", "100.0 %", TUNED, "75.0 %"],
        ["two", "4", "100.0 %", "llama", "25.0 %"],
        ["all that have it", "4", "100.0 %", TUNED, "75.0 %"],
        ["all", "8", "100.0 %", "the better of each", "25.0 %"],
    ]


def test_each_engine_has_its_share_of_the_lines_by_what_was_known_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    engines = {UNTUNED: "1000", TUNED: "1100", "n-gram": "0000"}
    documents = {
        "one": _positions("lnhn", submodel="1111", llama="0000", **engines),
        "two": _positions("llhh", submodel="1111", llama="0000", **engines),
        "asked of fewer engines": _positions("hhhh", submodel="0000", llama="0000"),
    }
    documents["two"]["kinds"]["later"]["texts"] = "lehh"

    print_known("later", documents)

    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines() if line]
    assert [row[:7] for row in rows[2:]] == [
        ["text stands in a learned file", "1", "100.0 %", "100.0 %", "100.0 %", "0.0 %", "0.0 %"],
        ["text stands in another place", "2", "100.0 %", "0.0 %", "0.0 %", "0.0 %", "0.0 %"],
        ["edit of a line that the commit removes", "1", "100.0 %", "0.0 %", "100.0 %", "0.0 %", "0.0 %"],
        ["new text", "4", "100.0 %", "25.0 %", "50.0 %", "0.0 %", "0.0 %"],
        ["of other code", "8", "100.0 %", "25.0 %", "50.0 %", "0.0 %", "0.0 %"],
        ["in a learned file", "3", "100.0 %", "66.7 %", "100.0 %", "0.0 %", "0.0 %"],
        ["in a held-out file", "3", "100.0 %", "0.0 %", "0.0 %", "0.0 %", "0.0 %"],
        ["in a file that is new since", "2", "100.0 %", "0.0 %", "50.0 %", "0.0 %", "0.0 %"],
    ]
    assert [row[7].partition(" ")[0] for row in rows[2:6]] == ["+0.0", "+100.0", "+100.0", "+75.0"]


def test_repositories_are_the_sample_in_a_row_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    documents = {
        "one": _positions(submodel="1111", llama="0011"),
        "two": _positions(submodel="1111", llama="0000"),
    }

    print_lines("later", "submodel", documents)

    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "as a sample" in line]
    # The leads are 50 and 100: their mean's standard error is 25, and Student's t of one degree is 12.7.
    assert rows[0][1:] == ["8", "100.0 %", "the better of each", "25.0 %", "+75.0 (too few for an interval) |"]


def test_answers_to_other_lines_are_refused() -> None:
    asked = {"kinds": {"held-out": {"lines_sha256": "other", "answers": []}}}
    document = {"kinds": {"held-out": {"lines_sha256": "lines"}}}
    with pytest.raises(SystemExit, match="measure it again"):
        print_llama_vscode({"a": document}, {"a": asked})

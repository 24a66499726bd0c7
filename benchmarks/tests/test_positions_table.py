"""Figures over several repositories."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.positions_table import TUNED, lead, print_lines, saving


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


def _positions(files: str = "llll", **exact: str) -> dict[str, Any]:
    later = {"exact": exact, "clusters": [0, 0, 1, 1], "files": files, "texts": "nnnn"}
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


def test_every_line_is_of_a_kind_of_files_even_if_a_repository_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    documents = {
        "one": _positions("lnhn", submodel="1111", llama="0000"),
        "two": _positions("llhh", submodel="1111", llama="0000"),
    }

    print_lines("later", "submodel", documents)

    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines() if "all, of " in line]
    assert [int(count) for _, count in rows] == [3, 3, 2]


def test_lines_whose_text_stood_in_a_file_are_a_row_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    document = _positions(submodel="1100", llama="0000")
    document["kinds"]["later"]["texts"] = "knnn"

    print_lines("later", "submodel", {"one": document})

    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "whose text" in line]
    assert [(row[0].removeprefix("| all, "), row[1], row[2]) for row in rows] == [
        ("whose text stood in a file already", "1", "100.0 %"),
        ("whose text stood in no file", "3", "33.3 %"),
    ]

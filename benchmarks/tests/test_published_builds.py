"""What the pages state of builds (versions, minutes, sizes, seeds) is in benchmarks/results/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import pytest

from benchmarks import build_pairs
from benchmarks.builds import RESULTS
from benchmarks.positions_table import KINDS, read
from testbed.pages import README, SUMMARY, WORDS, cells, spell, table

HELD_OUT, LATER = KINDS.values()
BOTH = ("gson", "hono")


def pair_rows(capsys: pytest.CaptureFixture[str], pairs: Sequence[str]) -> dict[str, list[str]]:
    """The figures that `benchmarks.build_pairs` prints, by the row's name."""
    build_pairs.main(pairs)
    return {row[0]: row[1:] for row in map(cells, capsys.readouterr().out.splitlines()[2:])}


def take_rows(
    rows: dict[str, list[str]], printed: Mapping[str, list[str]], pairs: Mapping[str, str], kind: str, minutes: str = ""
) -> list[str]:
    """Take a table's rows of a kind out of `rows`: they are what was printed of each pair. Return the last figures.

    pairs: by the name of a row.
    """
    for name, pair in pairs.items():
        seconds, _, *figures = printed[f"{pair}, {kind}"]
        assert rows.pop(f"{name}, {minutes}{kind}") == [seconds, *figures]
    return figures


def test_builds_of_two_versions(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"gson": "gson", "hono": "hono", "httpx": "httpx", "all three": "all"}
    printed = pair_rows(capsys, [f"{name}-v22:{name}-v20" for name in list(names)[:3]])
    for name, *figures in table("| | seconds, 22 and 20 |"):
        pair = names[name] if name == "all three" else f"{name}-v22:{name}-v20"
        held_out, later = (printed[f"{pair}, {kind}"] for kind in (HELD_OUT, LATER))
        assert figures == [held_out[0], *held_out[2:4], *later[2:4]], name
    of_bits = [printed[f"all, {kind}"][4].replace("-", "−") for kind in (HELD_OUT, LATER)]
    assert f"{of_bits[0]} on held-out lines and {of_bits[1]} on later ones" in WORDS


STAGE_FILES = ("old", "new", "zen4", "amx", "amx-awake")  # a column of the page each


def test_the_stages_of_a_build() -> None:
    files = [read(RESULTS / f"stage-times-httpx-{name}.json") for name in STAGE_FILES]
    seconds = [{stage["stage"]: stage["seconds"] for stage in file["stages"]} for file in files]
    tuned = [file["finetuning"] for file in files]
    rows = {name: figures for name, *figures in table("| stage | version 19, Xeon |")}
    assert rows["prune"] == [f"{each['prune']:.0f} s" for each in seconds]
    assert rows["fine-tune"] == [f"{each['finetune']:.0f} s" for each in seconds]
    assert rows["its steps, tokens"] == [f"{each['steps']}, {each['tokens']:,}" for each in tuned]
    assert rows["all"] == [f"{sum(each.values()):.0f} s" for each in seconds]
    assert rows["peak memory"] == [f"{file['peak_rss_bytes'] / 1e9:.2f} GB" for file in files]


def test_more_minutes_on_larger_repositories(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row[0]: row[1:] for row in table("| 150 lines of each kind | seconds, 10 and 4.5 minutes |")}
    lines, bits = (rows["both, held-out lines"][place].replace("-", "−") for place in (2, 3))
    fell = bits.removeprefix("−").replace("%", "%,").replace(", (", " (")
    assert f"fell by {fell}." in SUMMARY
    assert f"Nor for gson and hono beside 4.5: {lines} held-out" in SUMMARY
    for minutes, first, said in ((10, "v22", "beside 4.5"), (20, "v22", "With 20"), (40, "v22-amx", "With 40")):
        rows = {row[0]: row[1:] for row in table(f"| 150 lines of each kind | seconds, {minutes} and 4.5 minutes |")}
        pairs = {name: f"{name}-{first}-{minutes}min:{name}-{first}" for name in BOTH}
        printed = pair_rows(capsys, list(pairs.values()))
        for kind in (HELD_OUT, LATER):
            assert rows[f"both, {kind}"][2].replace("-", "−") in SUMMARY
            take_rows(rows, printed, {**pairs, "both": "all"}, kind)
        assert rows == {}
        assert f"{said}: {printed[f'all, {HELD_OUT}'][3].replace('-', '−')}" in SUMMARY


def test_two_hours(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row[0]: row[1:] for row in table("| 150 lines of each kind | seconds, 120 and 4.5 minutes |")}
    long = "{}-v22-amx-120min"
    pairs = {name: f"{long}:{{}}-v22-amx".format(name, name) for name in BOTH}
    printed, beside = (pair_rows(capsys, [f"{pair}{minutes}" for pair in pairs.values()]) for minutes in ("", "-40min"))
    for kind in (HELD_OUT, LATER):
        figures = take_rows(rows, printed, {**pairs, "both": "all"}, kind)
        assert figures[1].replace("-", "−") in SUMMARY
        for figure in beside[f"all, {kind}"][3:]:
            assert spell(figure) in WORDS
    assert rows == {}
    for name in pairs:
        tuned, before = (
            read(RESULTS / f"build-seeds-{name}-v22-amx-{minutes}min.json")["builds"][0]["finetuning"]
            for minutes in (120, 40)
        )
        assert f"{tuned['tokens']:,} tokens in {tuned['minutes']:.0f} minutes" in WORDS
        lowest = f"{tuned['validation_loss']['after']:.3f} for {name}, after {tuned['kept_step']:,}"
        middle = f"{before['validation_loss']['after']:.3f} with 40 minutes"
        assert f"was {lowest} of {tuned['steps']:,} steps ({middle})." in WORDS
    assert f"With 120: {printed[f'all, {HELD_OUT}'][3].replace('-', '−')} and" in SUMMARY


def test_builds_without_pruning(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row[0]: row[1:] for row in table("| 150 lines of each kind | seconds, whole base and sub-model |")}
    more, less = (rows[f"both, 4.5 minutes, {kind}"][2].replace("-", "−").split(" ", 1) for kind in (HELD_OUT, LATER))
    assert f"{more[0].removeprefix('+')} points more {more[1]} of the held-out lines" in README
    assert f"{less[0].removeprefix('−')} less {less[1]} of the later ones" in README
    for minutes, *pairs_of_both in (
        (4.5, "gson-v22-dense:gson-v22", "hono-v22-dense:hono-v22"),
        (10, "gson-v22-amx-dense-10min:gson-v22-amx-10min", "hono-v22-zen-dense-10min:hono-v22-zen-10min"),
        (20, "gson-v22-dense-20min:gson-v22-20min", "hono-v22-dense-20min:hono-v22-20min"),
        (120, "gson-v22-zen-dense-120min:gson-v22-amx-120min"),
        (40, "gson-v22-amx-dense-40min:gson-v22-amx-40min", "hono-v22-amx-dense-40min:hono-v22-amx-40min"),
    ):
        printed = pair_rows(capsys, pairs_of_both)
        pairs = dict(zip(BOTH, pairs_of_both, strict=False)) | ({"both": "all"} if len(pairs_of_both) > 1 else {})
        for kind in (HELD_OUT, LATER):
            take_rows(rows, printed, pairs, kind, f"{minutes} minutes, ")
    assert rows == {}
    held_out, later = (printed[f"all, {kind}"][3].replace("-", "−") for kind in (HELD_OUT, LATER))  # with 40 minutes
    point, interval = held_out.removeprefix("+").split(" ", 1)
    assert f"the whole base leads: by {point} points {interval} on held-out lines" in README
    assert f"not on later ones ({later.replace(' (', ', ').removesuffix(')')})." in README
    assert f"With 40 minutes it has {point} more {interval} of held-out lines" in SUMMARY
    beside = pair_rows(capsys, [f"{name}-v22-amx-dense-40min:{name}-v22-amx" for name in BOTH])
    held_out, later = (beside[f"all, {kind}"][3].replace("-", "−") for kind in (HELD_OUT, LATER))
    said = held_out.replace(" (", " points (")
    assert f"completes {said} of held-out lines and {later} of later ones" in WORDS
    longer = pair_rows(capsys, ["gson-v22-zen-dense-120min:gson-v22-amx-dense-40min"])[f"all, {HELD_OUT}"][3]
    point, interval = longer.replace("-", "−").removeprefix("−").split(" ", 1)
    assert f"completes {point} points fewer held-out lines than with 40 {interval}, at" in WORDS


def test_five_seeds() -> None:
    document = read(RESULTS / "build-seeds-httpx.json")
    rows = table("| seed | tokens read | seconds |")
    for row, build in zip(rows[:5], document["builds"], strict=True):
        asked = [build["kinds"][kind] for kind in ("held-out", "later")]
        of_lines = [
            cell for one in asked for cell in (f"{100 * one['exact_match']:.1f} %", f"{fmean(one['bits']):.2f}")
        ]
        tokens = f"{build['finetuning']['tokens']:,}"
        assert row[0].partition(",")[0] == str(build["seed"])
        assert row[1:] == [tokens, f"{build['seconds']:.0f}", *of_lines]
    spreads = [
        document["spread"][kind][figure] for kind in ("held-out", "later") for figure in ("lines right", "bits a line")
    ]
    for row, key, unit in zip(
        rows[5:], ("mean", "deviation", "two_builds_differ_by"), (" %", " points", " points"), strict=True
    ):
        assert row[3:] == [
            f"{one[key]:.2f}" if place % 2 else f"{100 * one[key]:.1f}{unit}" for place, one in enumerate(spreads)
        ]

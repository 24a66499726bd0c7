"""The lines right that README.md and docs/results.md state are those of the JSON files in benchmarks/results/."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from benchmarks import positions_table
from benchmarks.builds import RESULTS
from benchmarks.positions_table import BETTER, KINDS, OURS, Q8, SAMPLE, TUNED, UNTUNED, read
from testbed.pages import README, README_LINES, SUMMARY, WORDS, Rows, cells, table

WHOLE, FIRST = OURS
HELD_OUT, LATER = KINDS.values()
LANGUAGES = {"cobra": "Go", "gson": "Java", "hono": "TypeScript", "httpx": "Python"}
# A row of the page: the heading of the printed table, its engine, the row's name, the peer.
LEADS = {
    **{f"{name} ({of}), held-out": (HELD_OUT, WHOLE, name, Q8) for name, of in LANGUAGES.items()},
    **{f"{name} ({of}), added later": (LATER, WHOLE, name, Q8) for name, of in LANGUAGES.items()},
    "all four, held-out": (HELD_OUT, WHOLE, "all", BETTER),
    "first answers, all four, held-out": (HELD_OUT, FIRST, "all", BETTER),
    "all four, added later": (LATER, WHOLE, "all", BETTER),
    "first answers, all four, added later": (LATER, FIRST, "all", BETTER),
}
OLDER = RESULTS / "version-15"
BESIDE = {"dense base, fine-tuned (same minutes)": TUNED, "n-gram": "n-gram", "similar line": "similar line"}


def known_rows(printed: str, kind: str) -> Rows:
    """The printed table by what was known of a line, in the columns of the page, and beside them the dense baseline."""
    block = printed.partition(f"| {kind}, by what was known |")[2].partition("\n\n")[0]
    found = []
    for line in block.splitlines()[2:]:
        name, lines, ours, untuned, tuned, peer, n_gram, *leads = cells(line)
        found.append([name, lines, ours, untuned, peer, n_gram, leads[2], leads[0], tuned, leads[1]])
    return found


def printed_rows(printed: str) -> dict[tuple[str, ...], list[str]]:
    """Rows by the heading and the engine of their table, their name and their peer."""
    found: dict[tuple[str, ...], list[str]] = {}
    for block in printed.strip().split("\n\n"):
        head, _, *rows = map(cells, block.strip().splitlines())
        found |= {(head[0], head[2], row[0], row[3]): row for row in rows if len(row) == 6}
    return found


@pytest.fixture
def leads(capsys: pytest.CaptureFixture[str]) -> Mapping[tuple[str, ...], list[str]]:
    positions_table.main()
    return printed_rows(capsys.readouterr().out)


@pytest.fixture
def older(capsys: pytest.CaptureFixture[str]) -> Mapping[tuple[str, ...], list[str]]:
    """What builds of version 15 had right, and the tuned dense baseline beside them."""
    positions_table.main(OLDER)
    return printed_rows(capsys.readouterr().out)


def test_the_lines_right_beside_llama_cpp(leads: Mapping[tuple[str, ...], list[str]]) -> None:
    rows = table("| repository | lines | sub-model |")
    assert {row[0] for row in rows} == set(LEADS)
    for name, *figures in rows:
        _, lines, own, _, other, difference = leads[LEADS[name]]
        assert figures == [lines, own, other, difference], name


def test_the_lines_right_beside_the_baselines(
    leads: Mapping[tuple[str, ...], list[str]], older: Mapping[tuple[str, ...], list[str]]
) -> None:
    rows = {row[0]: row for row in table("| all four, 100 lines of each kind | held-out |")}
    of_both = [leads[kind, WHOLE, "all", BETTER] for kind in (HELD_OUT, LATER)]
    assert rows.pop("sub-model")[1:] == [of_both[0][2], "", of_both[1][2]]
    assert rows.pop(Q8)[1:] == [cell for row in of_both for cell in row[4:]]
    assert rows.keys() == BESIDE.keys()
    for name, peer in BESIDE.items():
        held_out, later = (leads[kind, WHOLE, "all that have it", peer][4:] for kind in (HELD_OUT, LATER))
        assert rows[name][1:] == held_out + later, name
    right = [[leads[kind, WHOLE, name, TUNED][4].split(".")[0] for name in LANGUAGES] for kind in (HELD_OUT, LATER)]
    said_held_out, said_later = ("{}, {}, {} and {}".format(*counts) for counts in right)
    assert f"the tuned dense baseline has {said_held_out} right, of their later ones {said_later}." in WORDS
    before = [older[kind, WHOLE, "all that have it", TUNED][5].replace("-", "−") for kind in (HELD_OUT, LATER)]
    assert f"by another draw: {' and '.join(before)}." in WORDS


def test_the_base_in_our_engine(leads: Mapping[tuple[str, ...], list[str]]) -> None:
    rows = {row[0]: row[1:] for row in table("| all four, 100 lines of each kind from each |")}
    of_both = [leads[kind, UNTUNED, "all", BETTER] for kind in (HELD_OUT, LATER)]
    assert rows.pop(UNTUNED) == [of_both[0][2], "", of_both[1][2]]
    assert rows.pop(Q8) == [cell for row in of_both for cell in row[4:]]
    ours = [leads[kind, WHOLE, "all that have it", UNTUNED] for kind in (HELD_OUT, LATER)]
    own, points, later, later_points = rows.pop("sub-model")
    assert [own, later] == [row[2] for row in ours]
    for written, row in zip((points, later_points), ours, strict=True):
        by, low, high = (f"{-float(one):+.1f}" for one in re.findall(r"[+-][\d.]+", row[5]))
        assert written == f"{by} ({high} to {low})"
    assert rows == {}


def test_new_lines_and_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    positions_table.main()
    printed = capsys.readouterr().out
    new = {}
    for kind in (HELD_OUT, LATER):
        rows = known_rows(printed, kind)
        assert table(f"| {kind} | lines | sub-model | base") == [row[:8] for row in rows]
        [new[kind]] = [row for row in rows if row[0] == "new text"]
    held_out, later = new.values()
    of_lead = [row[6].replace(" (", ", ").removesuffix(")") for row in (held_out, later)]
    assert (
        f"{held_out[1]} stand nowhere else. Of these the sub-model completes {held_out[2]} and llama.cpp {held_out[4]} "
        f"({of_lead[0]}). {later[1]} of the later lines are new text. Of these they complete {later[2]} and {later[4]} "
        f"({of_lead[1]})."
    ) in README
    engine = float(later[6].split(" ")[0]) - float(later[7].split(" ")[0])
    assert f"bring {engine:.1f} points and the sub-model {later[7].removeprefix('+')}." in README
    assert f"gains {engine:.1f} of the {float(later[6].split(' ')[0]):.1f} points" in WORDS
    beside = [row[9].removeprefix("+").removesuffix(")").replace(" (", "{}, ") for row in (held_out, later)]
    assert f"{held_out[8]} of the new held-out lines (the sub-model {beside[0].format(' points more')})" in WORDS
    assert f"{later[8]} of the new later ones ({beside[1].format(' more')})" in WORDS


def test_the_repositories_as_a_sample(leads: Mapping[tuple[str, ...], list[str]]) -> None:
    held_out, later = (leads[kind, WHOLE, SAMPLE, BETTER][5] for kind in (HELD_OUT, LATER))
    assert f"the leads are {held_out} and {later}." in WORDS
    bare = [one.partition("(")[2].removesuffix(")") for one in (held_out, later)]
    assert f"the intervals are {bare[0]} and {bare[1]}." in README
    tuned = [leads[kind, WHOLE, SAMPLE, TUNED][5].replace("(-", "(−") for kind in (HELD_OUT, LATER)]
    assert f"over the tuned dense baseline are {tuned[0]} and {tuned[1]}." in WORDS


def test_readme_has_the_lines_right(leads: Mapping[tuple[str, ...], list[str]]) -> None:
    begins = {HELD_OUT: "lines of [held-out files]", LATER: "lines that the next 150 commits added"}
    for kind, begin in begins.items():
        _, _, own, _, other, difference = leads[kind, WHOLE, "all", BETTER]
        beside = [leads[kind, WHOLE, "all that have it", peer][4] for peer in (UNTUNED, "n-gram")]
        found = [cells(line) for line in README_LINES if line.startswith(f"| {begin}")]
        assert [row[1:] for row in found] == [[own, other, difference, *beside]]
        by, within = leads[kind, WHOLE, "all that have it", UNTUNED][5].removeprefix("+").split(" ", 1)
        assert f"by {by} {within}" in README or f"by {by} points {within}" in README
    _, _, own, _, other, _ = leads[HELD_OUT, WHOLE, "all", BETTER]
    assert f"completes {own} of lines in files that it has not seen." in README
    assert f"The base in llama.cpp, a common program for running models on a laptop, completes {other}," in README
    first = [leads[kind, FIRST, "all", BETTER][2] for kind in (HELD_OUT, LATER)]
    assert f"{first[0]} of held-out lines and {first[1]} of later ones" in README


def test_llama_vscode_with_its_snippets(capsys: pytest.CaptureFixture[str]) -> None:
    positions_table.main()
    blocks = capsys.readouterr().out.split("\n\n")
    heads = ("| with snippets |", "| median with snippets |")
    for head in heads:
        (printed,) = (block.splitlines()[2:] for block in blocks if block.startswith(head))
        assert table(head) == [cells(line) for line in printed]
    rows = {row[0]: row[1:] for row in table(heads[0])}
    held_out, later = (rows[f"all, {kind}"] for kind in positions_table.KINDS.values())
    assert held_out[0] == later[0]
    leads = [row[3].removeprefix("+").replace("-", "−") for row in (held_out, later)]
    assert f"on {later[0]} lines of each kind, it completes {held_out[2]} of held-out lines and {later[2]}" in README
    gained, within = leads[0].split(" ", 1)
    assert f"leads by {gained} points {within} and by {leads[1]}." in README
    assert f"{gained} points {within} and by {leads[1]}." in WORDS
    times = sorted(float(row[3].removesuffix(" s")) for row in table(heads[1]))
    assert f"{times[0]} to {times[-1]} s then (Zen 4)" in README
    assert f"{times[0]} to {times[-1]} s then (Zen 4)" in SUMMARY


def test_bits_of_missing_middles(capsys: pytest.CaptureFixture[str]) -> None:
    positions_table.main(OLDER)
    printed = capsys.readouterr().out.rpartition("| bits of missing middles |")[2]
    changes = {(row[0], row[2], row[3]): row[4] for row in map(cells, printed.splitlines()[2:]) if len(row) == 5}
    for name, base, *models in table("| | base | sub-model | dense base, fine-tuned |"):
        bits = read(OLDER / f"middle-bits-{name}.json")["models"]
        assert base == f"{bits['base']:.3f}"
        for written, model in zip(models, ("sub-model", TUNED), strict=True):
            assert written == f"{bits[model]:.3f} ({changes[name, model, 'base'].replace(' (', ', ')}"
    of_all = changes["all", "sub-model", "base"].replace("-", "−")
    assert f"**All four together:** {of_all}." in WORDS
    beside = changes["all", "sub-model", TUNED].removeprefix("+").replace("-", "−").replace(" (", " more bits (")
    assert f"needs {beside}" in WORDS

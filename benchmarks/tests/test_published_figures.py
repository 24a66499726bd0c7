"""The figures of README.md and the pages in docs/ are those of the JSON files in benchmarks/results/."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from benchmarks import build_pairs, following_table, paper_table, positions_table, replay_table
from benchmarks.builds import RESULTS
from benchmarks.following_commits import UNITS, gains
from benchmarks.portability import portability_tables
from benchmarks.positions_table import SAMPLE, TUNED, UNTUNED, read
from benchmarks.shared_start import against

ROOT = Path(__file__).parents[2]
FRONT = (ROOT / "README.md").read_text("utf-8")
README = " ".join(FRONT.split())
PAGE = (ROOT / "docs" / "results.md").read_text("utf-8")
WORDS = " ".join(PAGE.split())
SUMMARY = WORDS.partition("## What these figures do not show")[0]
Rows = list[list[str]]

LATER, HELD_OUT = "lines added later", "held-out lines"
WHOLE, FIRST = "submodel", "submodel, first answer"
Q8, BETTER = "llama.cpp Q8_0", "the better of each"
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


PAPER = (ROOT / "docs" / "paper.md").read_text("utf-8")
CALIBRATED = {"python": "Python", "java": "Java", "c++": "C++", "javascript": "JavaScript"}
ALL_CALIBRATED = " + ".join(CALIBRATED)


def cells(line: str) -> list[str]:
    """The cells of a row, without bold and with a plain minus."""
    plain = line.replace("*", "").replace("−", "-")
    return [cell.strip() for cell in plain.strip("| \n").split("|")]


def table(head: str) -> Rows:
    """The rows of the page's table that begins with `head`."""
    rows = PAGE.partition(f"\n{head}")[2].partition("\n\n")[0]
    return [cells(line) for line in rows.splitlines()[2:]]


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
        found = [cells(line) for line in FRONT.splitlines() if line.startswith(f"| {begin}")]
        assert [row[1:] for row in found] == [[own, other, difference, *beside]]
        by, within = leads[kind, WHOLE, "all that have it", UNTUNED][5].removeprefix("+").split(" ", 1)
        assert f"by {by} {within}" in README or f"by {by} points {within}" in README
    _, _, own, _, other, _ = leads[HELD_OUT, WHOLE, "all", BETTER]
    assert f"completes {own} of lines in files that it has not seen. Its base in llama.cpp completes {other}," in README
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


def test_builds_of_two_versions(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"gson": "gson", "hono": "hono", "httpx": "httpx", "all three": "all"}
    printed = pair_rows(capsys, [f"{name}-v22:{name}-v20" for name in LANGUAGES if name != "cobra"])
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
    gained, within = lines.removeprefix("+").split(" ", 1)
    assert f"gained {gained} points on held-out lines, which is not significant {within}." in README
    assert f"fell by {fell}." in README
    assert f"fell by {fell}." in SUMMARY
    assert f"Nor for gson and hono beside 4.5: {lines} held-out" in SUMMARY
    for minutes, first in ((10, "v22"), (20, "v22"), (40, "v22-amx")):
        rows = {row[0]: row[1:] for row in table(f"| 150 lines of each kind | seconds, {minutes} and 4.5 minutes |")}
        pairs = {name: f"{name}-{first}-{minutes}min:{name}-{first}" for name in ("gson", "hono")}
        printed = pair_rows(capsys, list(pairs.values()))
        for kind in (HELD_OUT, LATER):
            assert rows[f"both, {kind}"][2].replace("-", "−") in SUMMARY
            for name, pair in {**pairs, "both": "all"}.items():
                seconds, _, *figures = printed[f"{pair}, {kind}"]
                assert rows.pop(f"{name}, {kind}") == [seconds, *figures]
        assert rows == {}
    assert f"Nor is it for 40: {printed[f'all, {HELD_OUT}'][3].replace('-', '−')}." in README


def test_two_hours(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row[0]: row[1:] for row in table("| 150 lines of each kind | seconds, 120 and 4.5 minutes |")}
    long, short, middle = "gson-v22-amx-120min", "gson-v22-amx", "gson-v22-amx-40min"
    printed, beside = (pair_rows(capsys, [f"{long}:{other}"]) for other in (short, middle))
    for kind in (HELD_OUT, LATER):
        seconds, _, *figures = printed[f"{long}:{short}, {kind}"]
        assert rows.pop(f"gson, {kind}") == [seconds, *figures]
        assert figures[1].replace("-", "−") in SUMMARY
        for figure in beside[f"{long}:{middle}, {kind}"][3:]:
            assert spell(figure) in WORDS
    assert rows == {}
    tuned = read(RESULTS / f"build-seeds-{long}.json")["builds"][0]["finetuning"]
    assert f"The build read {tuned['tokens']:,} tokens in {tuned['minutes']:.0f} minutes" in WORDS
    lowest = f"{tuned['validation_loss']['after']:.3f}, after {tuned['kept_step']:,} of {tuned['steps']:,} steps"
    assert f"The lowest validation loss was {lowest}" in WORDS


def test_builds_without_pruning(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row[0]: row[1:] for row in table("| 150 lines of each kind | seconds, whole base and sub-model |")}
    more, less = (rows[f"both, 4.5 minutes, {kind}"][2].replace("-", "−").split(" ", 1) for kind in (HELD_OUT, LATER))
    assert f"{more[0].removeprefix('+')} points more {more[1]} of the held-out lines" in README
    assert f"{less[0].removeprefix('−')} less {less[1]} of the later ones" in README
    both = ("gson", "hono")
    for minutes, pair, repositories in (
        (4.5, "{0}-v22-dense:{0}-v22", both),
        (10, "{0}-v22-amx-dense-10min:{0}-v22-amx-10min", ("gson",)),
        (20, "{0}-v22-dense-20min:{0}-v22-20min", both),
        (40, "{0}-v22-amx-dense-40min:{0}-v22-amx-40min", both),
    ):
        pairs = {name: pair.format(name) for name in repositories}
        printed = pair_rows(capsys, list(pairs.values()))
        if repositories is both:
            pairs["both"] = "all"
        for kind in (HELD_OUT, LATER):
            for name, pair in pairs.items():
                seconds, _, *figures = printed[f"{pair}, {kind}"]
                assert rows.pop(f"{name}, {minutes} minutes, {kind}") == [seconds, *figures]
    assert rows == {}
    held_out, later = (printed[f"all, {kind}"][3].replace("-", "−") for kind in (HELD_OUT, LATER))  # with 40 minutes
    point, interval = held_out.removeprefix("+").split(" ", 1)
    assert f"the whole base completes {point} points more {interval} of the held-out lines" in README
    assert f"the whole base leads: by {point} points {interval} on held-out lines" in README
    assert f"not on later ones ({later.replace(' (', ', ').removesuffix(')')})." in README
    assert f"With 40 minutes it has {point} more {interval} of held-out lines" in SUMMARY
    beside = pair_rows(capsys, [f"{name}-v22-amx-dense-40min:{name}-v22-amx" for name in both])
    held_out, later = (beside[f"all, {kind}"][3].replace("-", "−") for kind in (HELD_OUT, LATER))
    said = held_out.replace(" (", " points (")
    assert f"completes {said} of held-out lines and {later} of later ones" in WORDS


def pair_rows(capsys: pytest.CaptureFixture[str], pairs: Sequence[str]) -> dict[str, list[str]]:
    """The figures that `benchmarks.build_pairs` prints, by the row's name."""
    build_pairs.main(pairs)
    return {row[0]: row[1:] for row in map(cells, capsys.readouterr().out.splitlines()[2:])}


def test_what_is_saved_while_typing(capsys: pytest.CaptureFixture[str]) -> None:
    replay_table.main()
    for printed in capsys.readouterr().out.strip().split("\n\n"):
        head, _, *rows = printed.splitlines()
        assert table(head) == [cells(line) for line in rows]
        if head.startswith("| passages |"):  # beside whole lines
            continue
        together = [cells(line) for line in rows if line.startswith(f"| {replay_table.TOGETHER} |")]
        said = [row[4] for row in together]  # at the pace: what is saved, or wrong
        for figure in said:
            assert figure in README
        assert (
            f"{said[0]} in held-out files, {said[1]} in lines" in SUMMARY or f"{said[0]} and {said[1]} are" in SUMMARY
        )


def test_the_histories(capsys: pytest.CaptureFixture[str]) -> None:
    following_table.main()
    printed = [cells(line) for line in capsys.readouterr().out.partition("\n\n")[0].splitlines()[2:]]
    rows = table("| | commits back | never updated |")
    assert [row for row in rows if row[1]] == printed


def test_what_updates_and_builds_gain() -> None:
    points = [point for path in RESULTS.glob("following-*.json") for point in read(path)["points"][1:]]
    rows = {row[0]: row[3:] for row in table("| | commits back | never updated |") if not row[1]}
    right, bits = gains(points, UNITS["lines right"]), gains(points, UNITS["bits a line"])
    assert right is not None
    assert bits is not None
    both = [interval(right[key], 100, 1) for key in ("update", "build")]
    assert rows == {
        f"gain in points, all {right['positions']:,} lines": both,
        f"fewer bits a line, all {bits['positions']:,} lines": [
            interval(bits[key], 1, 2) for key in ("update", "build")
        ],
    }
    assert f"{build_uncertainty(right):.0f}" == "2"
    assert f"more of the next lines {spell(both[1])}. Two builds of one commit differ, too: with that" in README
    assert "the interval is about ±2." in README
    assert f"{spell(both[1])}, about ±2 with how far builds differ. |" in SUMMARY
    update, build = (one.removeprefix("+").replace("-", "−").partition(" ") for one in both)
    assert f"A new build then completes {build[0]} points more of the next lines {build[2]}" in README
    assert f"An update of two minutes completes {update[0]} points more {update[2]}." in README
    assert f"an update gains {update[0]} points {update[2]}, a whole build {build[0]} {build[2]}" in WORDS


def test_the_luck_of_a_first_build() -> None:
    histories = {path.stem: read(path)["points"][1:] for path in sorted(RESULTS.glob("following-*.json"))}
    together = [following_table.by_repository(histories)]
    right, bits = gains(together, UNITS["lines right"]), gains(together, UNITS["bits a line"])
    assert right is not None
    assert bits is not None
    for arm in ("build", "update"):
        for unit, printed in (("points", interval(right[arm], 100, 1)), ("bits", interval(bits[arm], 1, 2))):
            value, _, ends = printed.partition(" ")
            assert f"{value.removeprefix('+')} {unit} {ends}".replace("-", "−") in WORDS
    seeds = read(RESULTS / "build-seeds-jsoup-300.json")
    bits = seeds["spread"]["later"]["bits a line"]
    first, second, third = bits["values"]
    assert f"need {first:.1f}, {second:.1f} and {third:.1f} bits a later line" in WORDS
    assert f"(standard deviation {bits['deviation']:.1f})" in WORDS
    assert (
        f"differs by {bits['deviation'] * math.sqrt(1 + 1 / 3):.1f} bits of standard deviation by luck alone" in WORDS
    )
    tokens = [build["finetuning"]["tokens"] for build in seeds["builds"]]
    assert f"they read {min(tokens):,} to {max(tokens):,} tokens" in WORDS


def spell(printed: str) -> str:
    """The interval of a printed value, with a typographic minus."""
    return printed.partition(" ")[2].replace("-", "−")


def build_uncertainty(gained: Mapping[str, Any]) -> float:
    """Half of the 95 % interval of what whole builds gain, in points, with how far builds of one commit differ.

    Five builds are the start, fifteen are compared with them: each figure's variance is divided by how many there are.
    """
    deviation = 100 * read(RESULTS / "build-seeds-httpx.json")["spread"]["later"]["lines right"]["deviation"]
    lines = 100 * (gained["build"]["high"] - gained["build"]["low"]) / 2 / 1.96
    return 1.96 * math.sqrt(lines**2 + deviation**2 * (1 / 5 + 1 / 15))


def interval(one: Mapping[str, float], scale: float, places: int) -> str:
    """A value and its interval, as the pages write them, with a plain minus."""
    value, low, high = (f"{scale * one[key]:+.{places}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def test_many_updates() -> None:
    steps: list[dict[str, Any]] = read(RESULTS / "many-updates-httpx.json")["steps"]
    measured = {"the build": steps[0], **{f"{n} updates": steps[n] for n in (10, 20, 30)}}
    for name, middles, bits, change, size in table("| after | middles right |"):
        step = measured.pop(name)
        assert int(middles.split(" ")[0]) == sum(step["middle_exact"])
        assert (bits, size) == (f"{step['fim_bits_per_byte']:.3f}", f"{step['bundle_bytes'] / 1e6:.1f} MB")
        if change:
            assert change == interval(step["bits_against_first"], 100, 1).replace(" ", " % ", 1)
    assert measured == {}
    last = interval(steps[30]["bits_against_first"], 100, 1).replace(" ", " % ", 1).replace("-", "−")
    assert f"by {last}" in README


def test_what_many_updates_keep_and_what_quantization_costs() -> None:
    first, *updates = read(RESULTS / "many-updates-httpx.json")["steps"]
    kept = [step for step in updates if step["kept"] == "new"]
    refused = [step for step in updates if step["kept"] == "old" and "finetuning" in step]
    idle = len(updates) - len(kept) - len(refused)
    assert f"**{len(kept)} were kept, {len(refused)} refused, and {idle} had nothing to learn.**" in WORDS
    assert f"30 updates in a row, and {len(kept)} were kept." in README
    spans = [(min(s), max(s)) for s in ([step["seconds"] for step in some] for some in (kept, refused))]
    (low, high), (least, most) = spans
    assert f"A kept update took {low:.0f} to {high:.0f} s, a refused one {least:.0f} to {most:.0f} s." in WORDS

    costs = [100 * step["parity"]["loss_increase"] for step in (first, *kept)]
    spread = f"{min(costs):+.1f} to {max(costs):+.1f} %".replace("-", "−")
    sentence = f"adds {costs[0]:.1f} % to the loss in the first build, and {costs[-1]:.1f} % in the last kept update"
    assert f"{sentence} ({spread} in all kept ones" in WORDS


def named_rows(rows: Rows) -> dict[tuple[str, str], list[str]]:
    """Rows by their name; one of a matrix that explains the gain above it also by that gain's name."""
    found, gain = {}, ""
    for name, *figures in rows:
        gain = name if name.startswith("own language") else gain
        found[gain, name] = figures
    return found


@pytest.mark.parametrize(
    ("part", "figure", "number"),
    [
        ("matrix-wanda-plain", "bits_per_byte", 1),
        ("matrix-wanda-prompts", "fim_bits_per_byte", 2),
        ("matrix-structured", "bits_per_byte", 3),
        ("matrix-structured", "fim_bits_per_byte", 4),
    ],
)
def test_the_matrices_of_the_paper(part: str, figure: str, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    paper_table.print_matrix(read(RESULTS / f"paper-{part}-qwen2.5-coder-0.5b.json"), figures=(figure,))
    printed, said = capsys.readouterr().out.split("\n\n")[1:3]
    [measured, _, *rows] = map(cells, printed.splitlines())
    assert [CALIBRATED[name] for name in measured[1:]] == list(CALIBRATED.values())
    names = CALIBRATED | {ALL_CALIBRATED: "all four"}
    expected = named_rows([[names.get(name, name), *figures] for name, *figures in rows])
    matrices = [block for block in PAPER.split("\n\n") if "calibrated on ↓, measured on → |" in block]
    rows = [cells(line) for line in matrices[number].splitlines()[2:]]
    written = named_rows([[name.partition(", a quarter")[0], *figures] for name, *figures in rows])
    assert written.keys() >= {("", name) for name in ("dense", *names.values())}
    assert written == {key: expected[key] for key in written}
    said_words = r"mean: \+([\d.]+), ([\d.]+)% .* seed (.*); better in (\d+ of \d+)"
    [(mean, share, by_seed, better)] = re.findall(said_words, said)
    first, second, last = re.findall(r"\+([\d.]+)", by_seed)
    paper = " ".join(PAPER.split())
    assert f"{share} %" in paper.partition("**Language sub-models**")[0]
    assert f"it helps in {better} cells" in paper
    seeds = f"{first}, {second} and {last}"
    if "wanda" in part:
        assert f"{mean} bits, {share} %: {seeds} by seed" in paper
        [claim] = re.findall(r"this method gains ([\d.]+ to [\d.]+) % of the bits by the own one", paper)
        assert share in claim.split(" to ")
    else:
        assert re.search(rf"{mean} (bits|of missing ends of lines)[^(]*, {share} % \({seeds}", paper)


def paper_rows(head: str) -> Rows:
    """The rows of the table of docs/paper.md that begins with `head`, with the program's names of languages."""
    names = {page: name for name, page in CALIBRATED.items()} | {"all four": ALL_CALIBRATED}
    rows = PAPER.partition(f"\n{head}")[2].partition("\n\n")[0]
    return [[names.get(name, name), *figures] for name, *figures in map(cells, rows.splitlines()[2:])]


def blocks_of(printed: str) -> list[Rows]:
    """The rows of each printed table, without its head."""
    tables = [block.splitlines() for block in printed.split("\n\n") if "| --- |" in block]
    return [[cells(line) for line in lines[2:]] for lines in tables]


def test_the_language_models_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    paper_table.print_languages(read(RESULTS / "paper-languages-qwen2.5-coder-0.5b.json"))
    scores, leads = blocks_of(capsys.readouterr().out)
    assert paper_rows("| built on ↓, scored on → |") == [[name, *figures] for name, _, *figures in scores]
    assert paper_rows("| own model in → before ↓ |") == leads


def test_the_layer_and_the_sweep_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    paper_table.print_layers(
        read(RESULTS / "paper-matrix-wanda-plain-qwen2.5-coder-0.5b.json")["points"], "bits_per_byte"
    )
    [layers] = blocks_of(capsys.readouterr().out)
    assert paper_rows("| calibrated on | seed | lost of layer 3's output |") == layers
    paper_table.print_sweep(read(RESULTS / "paper-sensitivity-smollm2-135m.json"))
    curves = {name: figures for name, *figures in blocks_of(capsys.readouterr().out)[0]}
    for name, *figures in paper_rows("| method | dense | 10 % |"):
        printed = curves.pop(name.partition(",")[0].lower())
        assert [figure for figure in figures if figure != "none so small"] == printed
    assert curves == {}


def test_the_regions_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    paper_table.print_regions(read(RESULTS / "paper-regions-qwen2.5-coder-0.5b.json"))
    [rows] = blocks_of(capsys.readouterr().out)
    measured = [row for row in rows if not row[0].startswith("random")]
    assert len(measured) == 5
    for name, number, mean, least, most in measured:
        assert f"{mean} ({least}–{most}, {number}" in PAPER, name


def test_the_programs_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    paper_table.print_programs(read(RESULTS / "paper-programs-qwen2.5-coder-0.5b.json"))
    printed = capsys.readouterr().out
    shares = {name: figures[0].replace("%", " %").split(" ")[0] for name, *figures in blocks_of(printed)[0]}
    rows = {row[0]: row[2] for row in map(cells, PAPER.splitlines()) if len(row) == 3}
    assert rows["dense"].startswith(f"{shares['base']} %")
    for name, of in {"python-plain": "code", "text-plain": "other text"}.items():
        draws = ", ".join(f"{shares[f'{name}-{seed}']} %" for seed in (0, 1))
        assert rows[f"Wanda 50 %, calibrated on {of}"].startswith(draws)
    assert rows["structured 0.6 and tuned, Python"].startswith(f"{shares['sub-model']} %")
    lead, low, high = re.findall(r"[+-]([\d.]+)%", printed.rpartition("paired: ")[2])
    assert f"by {lead} points ({low} to {high}; paired" in " ".join(PAPER.split())


NEW_PLACES = {
    "submodel, whole window": (OLDER, "submodel"),
    "submodel, first answer (384 and 96 tokens)": (OLDER, FIRST),
    "dense base, fine-tuned (cobra, gson, hono)": (OLDER, TUNED),
    "llama.cpp Q8_0": (OLDER, Q8),
    "llama.cpp Q4_K_M (gson)": (OLDER, "llama.cpp Q4_K_M"),
    "Zen 4: submodel, whole window": (RESULTS, "submodel"),
    "Zen 4: submodel, first answer (256 and 64 tokens)": (RESULTS, FIRST),
    "Zen 4: llama.cpp Q8_0": (RESULTS, Q8),
}


def at_new_places(folder: Path) -> list[dict[str, Mapping[str, float]]]:
    """What each engine took, for each repository and kind of line."""
    paths = [*sorted(folder.glob("positions-*.json")), *sorted(folder.glob("cold-places-httpx.json"))]
    kinds = [(path.name, kind) for path in paths for kind in read(path)["kinds"].values()]
    return [
        # The first answers of httpx in the run of version 14 are of a smaller window: the page leaves them out.
        {
            one["name"]: one
            for one in kind["engines"]
            if (folder, name, one["name"]) != (OLDER, "positions-httpx.json", FIRST)
        }
        for name, kind in kinds
    ]


def span(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"


def test_time_at_a_new_place() -> None:
    rows = {row[0]: row[1:] for row in table("| engine | median | 95th percentile |")}
    assert rows.keys() == NEW_PLACES.keys()
    for name, (folder, engine) in NEW_PLACES.items():
        asked = [row[engine] for row in at_new_places(folder) if engine in row]
        spans = [span([one[f"new_place_ms_p{share}"] / 1000 for one in asked], ".2f") for share in (50, 95)]
        assert rows[name] == [f"{each} s" for each in spans], name


def test_memory_and_shares_of_the_time_of_llama_cpp() -> None:
    newer, older = at_new_places(OLDER), at_new_places(RESULTS)
    for ours, place in ((WHOLE, "The whole window"), (FIRST, "A first answer")):
        shares = []
        for rows in (newer, older):
            for key in ("new_place_ms_p50", "new_place_ms_p95"):
                shares.append(span([row[ours][key] / row[Q8][key] for row in rows if ours in row], ".2f"))
        [said] = re.findall(rf"\*\*{place}\*\* takes (.*?)\. - ", WORDS)
        assert re.findall(r"0\.\d\d to 0\.\d\d", said) == shares, place
    held = {name: [row[name]["resident_bytes"] / 1e6 for row in newer if name in row] for name in (WHOLE, FIRST, Q8)}
    memory = f"{span(held[WHOLE] + held[FIRST], '.0f')} MB, llama.cpp {span(held[Q8], '.0f')} MB"
    assert f"**Memory:** {memory}" in WORDS
    assert memory.replace(", llama.cpp ", ". llama.cpp takes ") in SUMMARY


def test_the_first_keystroke_after_a_rest() -> None:
    runs = read(RESULTS / "read-ahead-edits-httpx.json")["runs"]
    keys = ("share_within_150_ms", "share_shown_within_150_ms", "share_right_within_150_ms")
    for (_, median, *shares), run in zip(table("| httpx | median | within 150 ms |"), runs.values(), strict=True):
        assert median == f"{run['first_key']['p50_ms']:.0f} ms"
        assert shares == [f"{100 * run['first_key'][key]:.0f} %" for key in keys]
    without, _, default = (run["browsing_core_s_a_minute"] / 60 for run in runs.values())
    assert f"the default takes {100 * (default - without):.1f} % of a core more" in WORDS
    assert all(f"{run['browsing_s']:.0f} s without typing" in WORDS for run in runs.values())


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


def test_the_shared_start() -> None:
    document = read(RESULTS / "shared-start.json")
    repositories = {name.partition("-")[0]: one for name, one in document["repositories"].items()}
    rows = table("| repository | start | lines right | bits |")
    for name, start, *figures in rows[:-1]:
        one = repositories[name][f"{start} start"]
        bits = sum(one["middle_nats"]) / math.log(2) / sum(one["middle_bytes"])
        tokens = f"{one['finetuning']['tokens']:,}"
        assert figures == [str(sum(one["middle_exact"])), f"{bits:.3f}", str(int(one["seconds"] + 0.5)), tokens], (
            name,
            start,
        )
    found = against(list(repositories.values()))
    assert found == document["shared against dense"]
    lines = interval(found["exact_points"], 1, 1).replace(" ", " points ", 1)
    assert rows[-1][2:4] == [lines, interval(found["bits_percent"], 1, 1).replace(" ", " % ", 1)]
    assert f"Not in five minutes: {lines.replace('-', '−')}." in SUMMARY


def test_the_tables_of_runtimes(capsys: pytest.CaptureFixture[str]) -> None:
    portability_tables.main()
    page = (ROOT / "docs" / "runtimes.md").read_text("utf-8")
    printed = re.split(r"\n\n+", capsys.readouterr().out)
    tables = [block for block in printed if block.startswith("| ")]
    assert len(tables) == 4
    for block in tables:
        assert re.sub(r" +\|", " |", block).strip() in re.sub(r" +\|", " |", page)

"""What the pages state of updates and of models that age is in the JSON files in benchmarks/results/."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks import following_table
from benchmarks.builds import RESULTS
from benchmarks.following_commits import UNITS, gains
from benchmarks.positions_table import read
from testbed.pages import README, SUMMARY, WORDS, cells, interval, spell, table


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


def build_uncertainty(gained: Mapping[str, Any]) -> float:
    """Half of the 95 % interval of what whole builds gain, in points, with how far builds of one commit differ.

    Five builds are the start, fifteen are compared with them: each figure's variance is divided by how many there are.
    """
    deviation = 100 * read(RESULTS / "build-seeds-httpx.json")["spread"]["later"]["lines right"]["deviation"]
    lines = 100 * (gained["build"]["high"] - gained["build"]["low"]) / 2 / 1.96
    return 1.96 * math.sqrt(lines**2 + deviation**2 * (1 / 5 + 1 / 15))


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
    kept_if = "An update is kept only if its model is better on validation files"
    assert f"30 updates in a row. {kept_if}, and {len(kept)} were." in README
    spans = [(min(s), max(s)) for s in ([step["seconds"] for step in some] for some in (kept, refused))]
    (low, high), (least, most) = spans
    assert f"A kept update took {low:.0f} to {high:.0f} s, a refused one {least:.0f} to {most:.0f} s." in WORDS

    costs = [100 * step["parity"]["loss_increase"] for step in (first, *kept)]
    spread = f"{min(costs):+.1f} to {max(costs):+.1f} %".replace("-", "−")
    sentence = f"adds {costs[0]:.1f} % to the loss in the first build, and {costs[-1]:.1f} % in the last kept update"
    assert f"{sentence} ({spread} in all kept ones" in WORDS


def test_answers_beside_an_update() -> None:
    document = read(RESULTS / "update-beside-httpx.json")
    runs = [document[name] for name in ("alone", "beside")]
    late = [f"{100 * run['late'] / run['asked']:.0f}" for run in runs]
    p95 = " and ".join(f"{run['milliseconds_p95']:.0f} ms" for run in runs)
    assert f"an answer was {p95}, and {' and '.join(late)} % of the requests came too late" in WORDS
    seconds = sum(stage["seconds"] for stage in document["update"]["stages"])
    assert f"took {seconds:.0f} s (two minutes of fine-tuning) and {document['peak_rss_bytes'] / 1e9:.2f} GB" in WORDS


def test_keystrokes_at_models_that_followed(capsys: pytest.CaptureFixture[str]) -> None:
    following_table.main()
    printed = [cells(line) for line in capsys.readouterr().out.rpartition("\n\n")[2].splitlines()[2:]]
    assert [row for row in printed if row[1]] == table("| repository | keystrokes | saved, never updated |")
    update, build, goal = (row[3] for row in printed if not row[1])
    assert f"An update saves {update[1:4]} points less {spell(update)}, a whole build {build[1:4]} less" in WORDS
    assert f"a whole build {build[1:4]} less {spell(build)}" in WORDS
    assert f"four fifths of the build's is −{goal[1:4]} {spell(goal)}" in WORDS
    assert all(one.startswith("-") for one in (update, build, goal))

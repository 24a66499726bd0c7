"""Times, memory and saved keystrokes that the pages state are those of the JSON files in benchmarks/results/."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks import replay_table
from benchmarks.builds import RESULTS
from benchmarks.portability import portability_tables
from benchmarks.positions_table import OURS, Q8, TUNED, read
from testbed.pages import README, ROOT, SUMMARY, WORDS, cells, table

WHOLE, FIRST = OURS
OLDER = RESULTS / "version-15"
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


def test_what_is_saved_while_typing(capsys: pytest.CaptureFixture[str]) -> None:
    replay_table.main()
    for printed in capsys.readouterr().out.strip().split("\n\n"):
        head, _, *rows = printed.splitlines()
        assert table(head) == [cells(line) for line in rows]
        together = [cells(line) for line in rows if line.startswith(f"| {replay_table.TOGETHER} |")]
        said = [row[4] for row in together]  # at the pace: what is saved, or wrong
        for figure in said:
            assert figure in README
        assert (
            f"{said[0]} in held-out files, {said[1]} in lines" in SUMMARY or f"{said[0]} and {said[1]} are" in SUMMARY
        )


def test_the_tables_of_runtimes(capsys: pytest.CaptureFixture[str]) -> None:
    portability_tables.main()
    page = (ROOT / "docs" / "runtimes.md").read_text("utf-8")
    printed = re.split(r"\n\n+", capsys.readouterr().out)
    tables = [block for block in printed if block.startswith("| ")]
    assert len(tables) == 4
    for block in tables:
        assert re.sub(r" +\|", " |", block).strip() in re.sub(r" +\|", " |", page)

"""The figures of docs/paper.md are those of the JSON files in benchmarks/results/."""

from __future__ import annotations

import re

import pytest

from benchmarks import paper_table
from benchmarks.builds import RESULTS
from benchmarks.positions_table import read
from testbed.pages import ROOT, Rows, cells

PAPER = (ROOT / "docs" / "paper.md").read_text("utf-8")
CALIBRATED = {"python": "Python", "java": "Java", "c++": "C++", "javascript": "JavaScript"}
ALL_CALIBRATED = " + ".join(CALIBRATED)


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

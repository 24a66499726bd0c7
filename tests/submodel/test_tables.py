"""No table cuts a name where there are 80 columns: in pipes, in logs, in small windows."""

import pytest
import typer
from rich.table import Table
from typer.testing import CliRunner

from builder.bases.catalogue import CATALOGUE
from builder.bases.resolve import SECOND_CHOICE
from laboratory.bench.bench_table import print_bench
from laboratory.experiments.tables import regions_table, sweep_tables
from laboratory.replay.figures import print_replay
from submodel import console
from submodel.commands.bases import bases
from submodel.console import print_table
from submodel.scores_table import print_build, print_scores

INTERVAL = {"value": 0.123, "low": 0.101, "high": 0.155}
LONG = "a_model_of_mine-" * 6


@pytest.fixture(autouse=True)
def _no_terminal_of_80_columns(monkeypatch):
    monkeypatch.setattr(console.console, "_width", 80)


def rows_of(text):
    """The rows of the tables that were printed, as lists of cells; a cell's further lines are rows of their own."""
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    return [[cell.strip() for cell in line[1:-1].split("│")] for line in text.splitlines() if line.startswith("│")]


def words_of(column, text):
    return [word for row in rows_of(text) for word in row[column].split()]


def words(names):
    return [word for name in names for word in name.split()]


def test_the_known_bases_by_name_and_licence():
    app = typer.Typer()
    app.command()(bases)
    result = CliRunner().invoke(app, [], env={"COLUMNS": "80"}, catch_exceptions=False)
    assert words_of(0, result.stdout) == list(CATALOGUE)
    assert words_of(3, result.stdout) == [entry.licence for entry in CATALOGUE.values()]


@pytest.mark.parametrize("lead", [INTERVAL, {"value": 0.123}])
def test_engines(capsys, lead):
    names = ["submodel", "submodel, no drafts", "llama.cpp Q8_0", "llama.cpp Q4_0, sub-model"]
    speeds = [
        "prompt_tokens_per_s",
        "prompt_characters_per_s",
        "decode_tokens_per_s",
        "completion_ms_p50",
        "completion_ms_p95",
        "new_place_ms_p50",
    ]
    engines = [
        {
            "name": name,
            "resident_bytes": 1.2e9,
            "exact_match": 0.3,
            "same_answers": 1.0,
            "reads_suffix": name != names[2],
            **dict.fromkeys(speeds, 1234.5),
        }
        for name in names
    ]
    kinds = ("prompt", "decode", "completion_p50", "completion_p95", "new_place_p50", "memory")
    print_bench(
        {
            "engines": engines,
            "ratios": {name: dict.fromkeys(kinds, 12.3) for name in names[1:]},
            "leads": dict.fromkeys(names[1:], lead),
            "passages": 20,
            "lines": 60,
            "keystrokes": 359,
            "source": "held-out files",
        }
    )
    text = capsys.readouterr().err
    assert words_of(0, text) == words(names * 2)
    assert "keystroke" in text
    assert ("no interval" in text) == ("low" not in lead)
    assert "which its model can't read: llama.cpp Q8_0" in " ".join(text.split())


def test_scores(capsys):
    figures = {
        "parameters": 494e6,
        "bytes": 988e6,
        "bits_per_byte": 0.464,
        "positions": 200,
        "fim_exact_match": 0.235,
        "fim_exact_match_interval": (0.18, 0.29),
        "fim_edit_similarity": 0.549,
        "multi_line_positions": 50,
        "fim_multi_line_exact_match": 0.1,
        "fim_multi_line_edit_similarity": 0.5,
    }
    names = ["base", "sub-model", "similar line", "n-gram"]
    print_scores({"models": [{"name": name, **figures} for name in names]})
    text = capsys.readouterr().err
    rows = rows_of(text)
    assert [row[0] for row in rows] == names
    assert rows[0][1:] == ["494 M", "988 MB", "0.464", "23.5%", "18%–29%", "0.55", "10.0%"]
    assert "200 lines of held-out files" in text


def test_replays(capsys):
    figures = {"keystrokes_saved": INTERVAL, "shown_and_wrong": INTERVAL, "passages": 30, "keys_alone": 3_235}
    names = ["similar line", "without syntax", "with threshold 0.6"]
    runs = [
        {"name": name, "shown": 380, "accepted": 70, "milliseconds_p50": 5.0, "milliseconds_p95": 1_174.0, **figures}
        for name in names
    ]
    print_replay({"source": "held-out files", "pace_ms": None, "runs": runs})
    text = capsys.readouterr().err
    assert words_of(0, text) == words(names)
    assert "no interval" not in text


def test_sweeps_over_four_languages(capsys):
    names = ["python", "javascript", "typescript", "c++"]
    datasets = [f"language:{name}" for name in names]
    quality = {dataset: {"bits_per_byte": 0.479, "fim_bits_per_byte": 0.734} for dataset in datasets}
    point = {"method": "structured", "sparsity": 0.5, "removed_share": 0.362, "quality": quality}
    best = {"method": "structured", "mean": 0.8, "over_next": {"gain": 0.01, "gain_interval": (0.001, 0.02)}}
    ranking = {"sparsity": 0.5, "calibration": datasets[1], "measured_on": datasets[2], "figure": "fim_bits_per_byte"}
    matrix = {"figure": "bits_per_byte", "method": "structured", "sparsity": 0.5, "seeds": 3, "measured_on": datasets}
    rows = {"calibrated_on": [*datasets, "+".join(datasets)], "mean": [[0.6257] * 4] * 5, "spread": [[0.0197] * 4] * 5}
    points = [{**point, "seed": None, "calibration": []}, {**point, "seed": 1, "calibration": datasets}]
    document = {
        "points": points,
        "rankings": [{**ranking, "methods": [best, {"method": "sparsegpt", "mean": 0.81}]}],
        "matrices": [{**matrix, **rows}],
    }
    of_points, of_rankings, of_matrix = sweep_tables(document)
    print_table(of_points)
    rows = rows_of(capsys.readouterr().err)
    assert [row[3:] for row in rows if row[3]] == [[name, "0.479/0.734"] for name in names * 2]
    assert " ".join(row[0] for row in rows if row[0]) == "structured 0.5 structured 0.5, seed 1"
    print_table(of_rankings)
    assert rows_of(capsys.readouterr().err)[0][1:4] == ["javascript", "typescript", "fim_bits_per_byte"]
    print_table(of_matrix)
    assert words_of(0, capsys.readouterr().err) == [*names, "+".join(names)]


def test_comparisons(capsys):
    models = ["python-plain-0", "javascript-plain-1"]
    pair = {"models": models, "relation": "same dataset, another seed", "jaccard_distance": 0.0344}
    pairs = [{**pair, "random_expected": 0.6667, "random_simulated": 0.6667}]
    for table in regions_table({"kind": "masks", "pairs": pairs, "modules": {"mlp.down_proj": {"a": 0.1}}}):
        print_table(table)
    assert words_of(0, capsys.readouterr().err) == ["python-plain-0", "|", "javascript-plain-1", "mlp.down_proj"]


def test_a_build_from_the_second_choice_says_so_last(capsys):
    paths = {"bundle": ".submodel/bundle"}
    document = {"models": [], "paths": paths, "seconds": 60.0, "base": {"name": "small", "why": "it was asked for"}}
    print_build(document)
    assert "small" not in capsys.readouterr().err
    document["base"]["why"] = f"{SECOND_CHOICE} (first: the hub can't be reached.), and it was cached"
    print_build(document)
    said = " ".join(capsys.readouterr().err.split())
    assert "The base is small: it is the best that is available (first: the hub can't be reached.)" in said
    assert "Build again once the better one can be fetched." in said


@pytest.mark.parametrize(
    "verdict", [{"is_worse": True}, {"is_worse": False}, {}], ids=["worse", "not worse", "unscored"]
)
def test_a_build_whose_sub_model_is_worse_than_its_base_says_so(capsys, verdict):
    document = {"models": [], "seconds": 60.0, "base": {"name": "small", "why": "it was asked for"}, **verdict}
    print_build({**document, "paths": {"bundle": ".submodel/bundle"}})
    said = " ".join(capsys.readouterr().err.split())
    assert ("worse than its base" in said) == verdict.get("is_worse", False)


def test_a_build_elsewhere_says_how_its_bundle_is_served(capsys):
    document = {"models": [], "seconds": 60.0, "base": {"name": "small", "why": "it was asked for"}}
    print_build({**document, "paths": {"bundle": "/work/a/.submodel/bundle"}})
    assert "Open your editor" in capsys.readouterr().err
    print_build({**document, "paths": {"bundle": "/work/other place/bundle"}})
    said = " ".join(capsys.readouterr().err.split())
    assert "Open your editor" not in said
    assert "`submodel serve --bundle '/work/other place/bundle'`" in said


def test_what_is_too_long_for_any_width_folds(capsys):
    table = Table("name", "why", "another name")
    table.add_row(LONG, "because " * 20, LONG)
    print_table(table)
    first, _, last = ("".join(column) for column in zip(*rows_of(capsys.readouterr().err), strict=True))
    assert (first, last) == (LONG, LONG)

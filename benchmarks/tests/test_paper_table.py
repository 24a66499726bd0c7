"""The tables of docs/paper.md: no cell under another heading, nothing that only whole studies have."""

from benchmarks.paper_table import (
    print_languages,
    print_layers,
    print_matrix,
    print_regions,
    print_sweep,
)
from laboratory.experiments.compare_run import OTHER_DATASET, OTHER_FORMAT, SAME_DATASET
from laboratory.experiments.sweep_document import make_curves, make_matrices, make_rankings
from testbed.reports import sweep_row as row


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_sweep_of_a_base_that_fills_no_middles_and_a_point_that_is_lost(capsys):
    rows = [row("dense", 0.0, "", None, py=0.5)]
    rows += [row("magnitude", ratio, "py", 0, py=ratio) for ratio in (0.6, 0.7)]
    rows += [row("wanda", 0.7, "py", 0, py=0.65)]
    print_sweep({"curves": make_curves(rows), "rankings": make_rankings(rows)})
    lines = capsys.readouterr().out.splitlines()
    head, _, magnitude, wanda = lines[2:6]
    assert cells(head) == ["method", "0%", "60%", "70%"]
    assert cells(magnitude) == ["magnitude", "0.500", "0.600", "0.700"]
    assert cells(wanda) == ["wanda", "0.500", "", "0.650"]
    (ranking,) = (line for line in lines if line.startswith("| 70%"))
    assert cells(ranking)[3:] == ["left to right", "wanda 0.650, by 0.050; magnitude 0.700"]


def test_a_matrix_of_one_seed(capsys):
    rows = [row("dense", 0.0, "", None, py=0.5, js=0.6)]
    rows += [row("wanda", 0.5, "py", 0, py=0.6, js=0.9), row("wanda", 0.5, "js", 0, py=0.8, js=0.7)]
    print_matrix({"points": rows, "matrices": make_matrices(rows)})
    lines = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert lines[2:] == [
        ["dense", "0.500", "0.600"],
        ["py", "**0.600**", "0.900"],
        ["js", "0.800", "**0.700**"],
        ["own language over the best other one", "+0.200", "+0.200"],
        ["own language over what its row and column say", "+0.100", "+0.100"],
        ["of each seed", "+0.100", "+0.100"],
    ]


def test_a_layer_that_decides_the_figures_is_shown(capsys):
    rows = [row("dense", 0.0, "", None, py=0.5, js=0.6)]
    for seed, (error, bits) in enumerate([(0.1, 0.9), (0.01, 0.7), (0.2, 1.1)]):
        point = row("wanda", 0.5, "py", seed, py=bits, js=bits)
        rows.append({**point, "layer_output_error": [0.05, error, 0.06 + 0.01 * seed]})
    print_layers(rows, "bits_per_byte")
    title, _, *lines = capsys.readouterr().out.splitlines()
    assert "layer 1's" in title and "correlation 1.00" in title
    assert [cells(line) for line in lines[2:5]] == [
        ["py", "1", "0.010", "0.700"],
        ["py", "0", "0.100", "0.900"],
        ["py", "2", "0.200", "1.100"],
    ]


def test_a_matrix_tells_only_the_figures_that_are_asked_for(capsys):
    rows = [row("dense", 0.0, "", None, py=0.5, js=0.6)]
    rows += [row("wanda", 0.5, "py", 0, py=0.6, js=0.9), row("wanda", 0.5, "js", 0, py=0.8, js=0.7)]
    print_matrix({"points": rows, "matrices": make_matrices(rows)}, figures=("fim_bits_per_byte",))
    assert capsys.readouterr().out == ""


def test_a_language_s_own_model_is_what_the_others_are_set_against(capsys):
    def difference(ratio, points):
        figures = {"bits_per_byte_ratio": ratio, "exact_match_difference": points}
        return {name: {"value": value, "low": value - 0.01, "high": value + 0.01} for name, value in figures.items()}

    def model(bits, exact):
        return {"bits_per_byte": bits, "fim_exact_match": exact, "parameters": 300_000_000}

    stages = [{"name": "prune", "seconds": 300.0}, {"name": "finetune", "seconds": 500.0}]
    build = {"finetuning": {"tokens": 45_000, "minutes": 4.5}, "stages": stages}
    scored = {
        "python": {
            "models": {"python": model(0.5, 0.3), "base": model(0.6, 0.2), "java": model(0.7, 0.1)},
            "differences": {"base": difference(1.2, -0.1), "java": difference(1.4, -0.2)},
        },
        "java": {
            "models": {"java": model(0.4, 0.5), "base": model(0.5, 0.4), "python": model(0.6, 0.3)},
            "differences": {"base": difference(1.25, -0.1), "python": difference(1.5, -0.2)},
        },
    }
    print_languages({"builds": {"python": build, "java": build}, "scored_on": scored})
    lines = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert lines[3] == ["python", "300 M", "0.500, 30 %", "0.600, 30 %"]
    assert lines[4] == ["java", "300 M", "0.700, 10 %", "0.400, 50 %"]
    assert lines[-2] == ["python", "", "+20 points (+19 to +21); +50 % (+49 to +51)"]


def test_each_pair_of_regions_is_counted_under_what_tells_it_apart(capsys):
    relations = {
        ("python-plain-0", "python-plain-1"): (SAME_DATASET, 0.1),
        ("python-plain-0", "python-prompt-0"): (OTHER_FORMAT, 0.2),
        ("python-plain-0", "java-prompt-0"): (OTHER_FORMAT, 0.9),
        ("python-plain-0", "python_other-plain-0"): (OTHER_DATASET, 0.3),
        ("python-plain-0", "java-plain-0"): (OTHER_DATASET, 0.4),
        ("python-prompt-0", "java-prompt-0"): (OTHER_DATASET, 0.9),
        ("java-plain-0", "text-plain-0"): (OTHER_DATASET, 0.5),
        ("python_other-plain-0", "java-plain-0"): (OTHER_DATASET, 0.9),
    }
    pairs = [
        {"models": models, "relation": relation, "jaccard_distance": distance}
        | {"random_expected": 0.667, "random_simulated": 0.667}
        for models, (relation, distance) in relations.items()
    ]
    print_regions({"pairs": pairs})
    lines = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line[1:3] for line in lines[2:7]] == [["1", f"0.{number}00"] for number in (1, 2, 3, 4, 5)]

"""The tables of docs/paper.md, from the figures that `benchmarks.paper` left: `python -m benchmarks.paper_table`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import correlation, fmean
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.markdown import print_head, print_row
from benchmarks.paper import MATRICES, OTHER_PACKAGES
from laboratory.experiments.compare_run import OTHER_DATASET, OTHER_FORMAT, SAME_DATASET
from laboratory.experiments.sweep_document import make_matrices
from laboratory.experiments.tables import ranked

FIGURES = {"bits_per_byte": "left to right", "fim_bits_per_byte": "missing ends of lines"}


def main() -> None:
    """Each part that has been measured."""
    printers: dict[str, Callable[[Mapping[str, Any]], None]] = {
        **dict.fromkeys(MATRICES, print_matrix),
        # Left to right, masks of prompts are at the mercy of what stands first in a text: dev/LOG.md.
        "matrix-wanda-prompts": partial(print_matrix, figures=("fim_bits_per_byte",)),
        "languages": print_languages,
        "regions": print_regions,
        "sensitivity": print_sweep,
    }
    for part, show in printers.items():
        for path in sorted(RESULTS.glob(f"paper-{part}-*.json")):
            print(f"## {path.stem}\n")
            show(json.loads(path.read_text("utf-8")))


def print_matrix(document: Mapping[str, Any], figures: Iterable[str] = FIGURES) -> None:
    """Calibrated on × measured on, for each figure, with the dense base above and the gains below."""
    dense = next(row for row in document["points"] if row["method"] == "dense")["quality"]
    # Older documents have no gains over the mixture, and none of the own language; their points give both.
    again = make_matrices(document["points"])
    for matrix, one in zip(document["matrices"], again, strict=True):
        if matrix["figure"] not in figures:
            continue
        measured, figure = matrix["measured_on"], matrix["figure"]
        print(f"{matrix['method']} at {matrix['sparsity']:g}, {FIGURES[figure]}, {matrix['seeds']} seeds\n")
        print_head("calibrated on ↓, measured on →", *map(_name, measured))
        print_row("dense", *(f"{dense[dataset][figure]:.3f}" for dataset in measured))
        for row, (calibration, means) in enumerate(zip(matrix["calibrated_on"], matrix["mean"], strict=True)):
            least = [min(column) for column in zip(*matrix["mean"], strict=True)]
            cells = [
                f"**{mean:.3f}**" if mean == best else f"{mean:.3f}" for mean, best in zip(means, least, strict=True)
            ]
            if "spread" in matrix:
                cells = [f"{cell} ± {spread:.3f}" for cell, spread in zip(cells, matrix["spread"][row], strict=True)]
            print_row(" + ".join(map(_name, calibration.split("+language:"))), *cells)
        gains = [one["diagonal_is_best"][dataset] | matrix["diagonal_is_best"][dataset] for dataset in measured]
        _print_gains("own language over the best other one", gains)
        if all("over_mixed" in one for one in gains):
            _print_gains("own language over the mixture", [one["over_mixed"] for one in gains])
        own = [one["own_gain"][dataset] for dataset in measured]
        own_name = "own language over what its row and column say"
        _print_gains(own_name, [{"gain": fmean(seeds), "gain_by_seed": seeds} for seeds in own])
        print()
        print_own(own, fmean(fmean(matrix["mean"][matrix["calibrated_on"].index(dataset)]) for dataset in measured))
        print()
        print_layers(document["points"], figure)


def print_own(own: Sequence[Sequence[float]], level: float) -> None:
    """How much an own calibration brings, the mean of all datasets. own: datasets × seeds; level: the cells' mean."""
    gains = [gain for seeds in own for gain in seeds]
    by_seed = ", ".join(f"{fmean(seed):+.3f}" for seed in zip(*own, strict=True))
    better = sum(gain > 0 for gain in gains)
    print(
        f"own language over what rows and columns say, mean: {fmean(gains):+.3f}, {fmean(gains) / level:.1%} of the "
        f"bits; of each seed {by_seed}; better in {better} of {len(gains)} cells\n"
    )


def print_layers(points: Sequence[Mapping[str, Any]], figure: str) -> None:
    """The layer whose share of lost output differs most between points, beside the figure's mean over what is measured.

    Where points stand in the same order by both, what that layer makes may be what the figures are about.
    """
    points = [row for row in points if "layer_output_error" in row]
    if len(points) < 3:
        return
    columns = list(zip(*(row["layer_output_error"] for row in points), strict=True))
    layer = max(range(len(columns)), key=lambda index: max(columns[index]) / max(min(columns[index]), 1e-9))
    bits = [fmean(quality[figure] for quality in row["quality"].values()) for row in points]
    order = correlation(_ranks(columns[layer]), _ranks(bits))
    print(f"share of layer {layer}'s output that is lost, beside {FIGURES[figure]}; rank correlation {order:.2f}\n")
    print_head("calibrated on", "seed", f"layer {layer}", "mean bits")
    for row, error, mean in sorted(zip(points, columns[layer], bits, strict=True), key=lambda one: one[1]):
        print_row(" + ".join(map(_name, row["calibration"])), str(row["seed"]), f"{error:.3f}", f"{mean:.3f}")
    print()


def print_languages(document: Mapping[str, Any]) -> None:
    """Each language's model on each language's held-out files, by bits per byte and exact lines.

    Below it, how far a language's own model is before the others: points of exact lines, and the bits that they need
    more.
    """
    scored, builds = document["scored_on"], document["builds"]
    print_head("built on ↓, scored on →", "parameters", *scored)
    for name in ("base", *builds):
        rows = [scores["models"][name] for scores in scored.values()]
        cells = (f"{row['bits_per_byte']:.3f}, {100 * row['fim_exact_match']:.0f} %" for row in rows)
        print_row(name, f"{rows[0]['parameters'] / 1e6:.0f} M", *cells)
    print()
    print_head("own model in → before ↓", *scored)
    for name in ("base", *builds):
        differences = [scores["differences"].get(name) for scores in scored.values()]
        print_row(name, *("" if one is None else _before(one) for one in differences))
    print()
    for name, build in builds.items():
        tuned, seconds = build["finetuning"], sum(stage["seconds"] for stage in build["stages"])
        print(f"- {name}: {tuned['tokens']:,} tokens in {tuned['minutes']:.1f} min of tuning, {seconds:,.0f} s in all")
    print()


def print_regions(document: Mapping[str, Any]) -> None:
    """Distances by kind of pair, with the random baseline."""
    pairs = document["pairs"]
    plain = [one for one in pairs if not any("-prompt-" in name for name in one["models"])]
    listed = [one for one in plain if not any(name.endswith(OTHER_PACKAGES) for name in _datasets(one))]
    across = [one for one in listed if one["relation"] == OTHER_DATASET]
    kinds = {
        "same packages, another seed": [one for one in plain if one["relation"] == SAME_DATASET],
        "same packages, prompts instead of pieces": [
            one for one in pairs if one["relation"] == OTHER_FORMAT and len(_datasets(one)) == 1
        ],
        "same language, other packages": [one for one in plain if one["relation"] == OTHER_DATASET and _is_alike(one)],
        "two languages": [one for one in across if "text" not in _datasets(one)],
        "a language and documentation": [one for one in across if "text" in _datasets(one)],
    }
    print_head("pairs", "number", "mean", "least", "most")
    for kind, members in kinds.items():
        distances = [one["jaccard_distance"] for one in members]
        print_row(kind, str(len(distances)), *(f"{of(distances):.3f}" for of in (fmean, min, max)))
    for baseline in ("random_expected", "random_simulated"):
        print_row(baseline.replace("_", ", "), str(len(pairs)), f"{fmean(one[baseline] for one in pairs):.3f}", "", "")
    print()


def print_sweep(document: Mapping[str, Any]) -> None:
    """Bits per byte over the ratio, a method a row; then methods of one ratio, best first."""
    for figure, title in FIGURES.items():
        curves = [curve for curve in document["curves"] if curve["figure"] == figure and curve["is_own"]]
        if not curves:
            continue
        ratios = sorted({ratio for curve in curves for ratio, *_ in curve["points"]})
        print(f"{title}\n")
        print_head("method", *(f"{ratio:.0%}" for ratio in ratios))
        for curve in curves:
            bits = {ratio: f"{mean:.3f}" for ratio, mean, *_ in curve["points"]}
            print_row(curve["method"], *(bits.get(ratio, "") for ratio in ratios))
        print()
    if rankings := [one for one in document["rankings"] if one["figure"] in FIGURES]:
        print_head("ratio", "calibrated on", "measured on", "figure", "methods, best first, by how much")
    for one in rankings:
        names = (_name(one["calibration"]), _name(one["measured_on"]), FIGURES[one["figure"]])
        print_row(f"{one['sparsity']:.0%}", *names, "; ".join(map(ranked, one["methods"])))
    print()


def _print_gains(name: str, gains: Sequence[Mapping[str, Any]]) -> None:
    print_row(name, *(f"{one['gain']:+.3f}" for one in gains))
    if all("gain_by_seed" in one for one in gains):
        print_row("of each seed", *(", ".join(f"{gain:+.3f}" for gain in one["gain_by_seed"]) for one in gains))
    if all("gain_interval" in one for one in gains):
        print_row("its interval over texts", *("{:+.3f} to {:+.3f}".format(*one["gain_interval"]) for one in gains))


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(values)
    return [order.index(value) for value in values]


def _before(one: Mapping[str, Any]) -> str:
    """How far the language's own model is before another, of which `one` is the difference from it."""
    lines, bits = one["exact_match_difference"], one["bits_per_byte_ratio"]
    by, low, high = (_whole(-100 * lines[key]) for key in ("value", "high", "low"))
    more, least, most = (_whole(100 * (bits[key] - 1)) for key in ("value", "low", "high"))
    return f"{by} points ({low} to {high}); {more} % ({least} to {most})"


def _whole(number: float) -> str:
    rounded = round(number)
    return f"{rounded:+d}" if rounded else "0"


def _name(dataset: str) -> str:
    return dataset.removeprefix("language:")


def _datasets(pair: Mapping[str, Any]) -> set[str]:
    """Of models that `benchmarks.paper.regions` named."""
    models: Sequence[str] = pair["models"]
    return {name.split("-")[0] for name in models}


def _is_alike(pair: Mapping[str, Any]) -> bool:
    """Whether both were calibrated on one language."""
    return len({dataset.removesuffix(OTHER_PACKAGES) for dataset in _datasets(pair)}) == 1


if __name__ == "__main__":
    main()

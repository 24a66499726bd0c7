"""Makes a sweep's points into curves over the ratio, rankings of methods, and matrices of calibrated on × measured on.

All functions are pure, and take rows.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, Final

from builder.evaluation.metrics import bootstrap
from laboratory.experiments.method import STRUCTURED

FIGURES: Final = ("bits_per_byte", "fim_bits_per_byte")  # less is better
# Of figures that are sums over held-out snippets: what each snippet adds, and its file.
_SNIPPETS: Final = {
    "bits_per_byte": ("excerpt_nats", "excerpt_bytes", "excerpt_files"),
    "fim_bits_per_byte": ("middle_nats", "middle_bytes", "middle_files"),
}
Row = Mapping[str, Any]


def without_snippets(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the points without the figures of single snippets, which are in the points' own files."""
    snippets = {key for keys in _SNIPPETS.values() for key in keys}
    return [
        {
            **row,
            "quality": {
                dataset: {key: value for key, value in figures.items() if key not in snippets}
                for dataset, figures in row["quality"].items()
            },
        }
        for row in rows
    ]


def make_curves(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a curve for each method, calibration, measured dataset and figure.

    Its points are [ratio, mean over seeds, least, most], the dense base first. `is_own`: the curve is measured on the
    dataset of its calibration.
    """
    dense = next((row for row in rows if row["method"] == "dense"), None)
    groups: defaultdict[tuple[str, str, str, str], defaultdict[float, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        if row["method"] == "dense":
            continue
        for dataset, figures in row["quality"].items():
            for figure in FIGURES:
                if figure in figures:
                    key = (row["method"], "+".join(row["calibration"]), dataset, figure)
                    groups[key][row["sparsity"]].append(figures[figure])
    curves = []
    for (method, calibration, dataset, figure), ratios in groups.items():
        start = [] if dense is None or figure not in dense["quality"][dataset] else [dense["quality"][dataset][figure]]
        points = [[0.0, start[0], start[0], start[0]]] if start else []
        points += [[ratio, fmean(values), min(values), max(values)] for ratio, values in sorted(ratios.items())]
        curves.append(
            {
                "method": method,
                "calibration": calibration,
                "measured_on": dataset,
                "figure": figure,
                "is_own": dataset == calibration,
                "points": points,
            }
        )
    return curves


def make_rankings(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a ranking of methods, best first, for each calibration, ratio, measured dataset and figure.

    `methods`: name, mean over the seeds that all methods have, and, except for the last, the lead over the next one,
    as in `make_matrices`. `removed_share`: mean share of all parameters. Rankings leave out the structured method: its
    ratio is a share of all parameters, that of the others a share of the pruned matrices.
    """
    groups: defaultdict[tuple[str, float], defaultdict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["method"] not in ("dense", STRUCTURED):
            groups["+".join(row["calibration"]), row["sparsity"]][row["method"]].append(row)
    rankings = []
    for (calibration, ratio), by_method in groups.items():
        for dataset, figure in itertools.product(rows[0]["quality"], FIGURES):
            measured = {method: _cell(members, calibration, dataset, figure) for method, members in by_method.items()}
            cells = {method: cell for method, cell in measured.items() if cell}
            seeds = sorted(set.intersection(*map(set, cells.values()))) if len(cells) > 1 else []
            if not seeds:
                continue
            means = {method: fmean(cell[seed][figure] for seed in seeds) for method, cell in cells.items()}
            ordered = sorted(means, key=lambda method: means[method])
            columns = [[cells[method][seed] for seed in seeds] for method in ordered]
            methods: list[dict[str, Any]] = [{"method": method, "mean": means[method]} for method in ordered]
            for place, reported in enumerate(methods[:-1]):
                reported["over_next"] = _gain(place, [place + 1], columns, figure)
            rankings.append(
                {
                    "sparsity": ratio,
                    "removed_share": fmean(row["removed_share"] for row in itertools.chain(*by_method.values())),
                    "calibration": calibration,
                    "measured_on": dataset,
                    "figure": figure,
                    "seeds": len(seeds),
                    "methods": methods,
                }
            )
    return rankings


def make_matrices(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a matrix for each method, ratio and figure with several calibrations and several measured datasets.

    `mean` and `spread` (standard deviation over seeds; absent with one seed): calibrations × measured datasets, over
    the seeds that every cell has. `diagonal_is_best`, for each measured dataset that alone is a calibration: whether
    the mean of that calibration is the best of the single-dataset ones, and its lead over the next (`gain`, in units of
    the figure). `gain_by_seed` is the same for each seed alone. `gain_interval` is the 95 % interval of the lead of the
    means over the held-out snippets (paired bootstrap). `over_mixed`: the same against the mixture. The next one is
    chosen by the same figures: of four datasets without any effect, one loses in all of three seeds at 42 %.

    `own_gain`, of each of those datasets by seed, asks without such a choice whether a dataset's own calibration
    serves it better: see `own_gains`.
    """
    groups: defaultdict[tuple[str, float], list[Row]] = defaultdict(list)
    for row in rows:
        if row["method"] != "dense":
            groups[row["method"], row["sparsity"]].append(row)
    matrices = []
    for (method, ratio), members in groups.items():
        calibrations = list(dict.fromkeys("+".join(row["calibration"]) for row in members))
        measured = list(members[0]["quality"])
        if min(len(calibrations), len(measured)) < 2:
            continue
        singles = [index for index, name in enumerate(calibrations) if name in measured]
        mixtures = {"+".join(row["calibration"]) for row in members if len(row["calibration"]) > 1}
        mixed = [index for index, name in enumerate(calibrations) if name in mixtures]
        for figure in FIGURES:
            cells = [
                [_cell(members, calibration, dataset, figure) for dataset in measured] for calibration in calibrations
            ]
            seeds = sorted(set.intersection(*(set(cell) for line in cells for cell in line)))
            if not seeds:
                continue
            values = [[[cell[seed][figure] for seed in seeds] for cell in line] for line in cells]
            matrix: dict[str, Any] = {
                "method": method,
                "sparsity": ratio,
                "figure": figure,
                "calibrated_on": calibrations,
                "measured_on": measured,
                "seeds": len(seeds),
                "mean": [[fmean(cell) for cell in line] for line in values],
                "diagonal_is_best": {},
            }
            for own in singles if len(singles) > 1 else ():
                column = measured.index(calibrations[own])
                figures = [[line[column][seed] for seed in seeds] for line in cells]
                others = [index for index in singles if index != own]
                reported = _gain(own, others, figures, figure)
                if mixed:
                    reported["over_mixed"] = _gain(own, mixed, figures, figure)
                matrix["diagonal_is_best"][calibrations[own]] = reported
            if len(singles) > 1:
                columns = [measured.index(calibrations[own]) for own in singles]
                by_seed = [
                    own_gains([[values[own][column][seed] for column in columns] for own in singles])
                    for seed in range(len(seeds))
                ]
                matrix["own_gain"] = {
                    calibrations[own]: list(gains)
                    for own, gains in zip(singles, zip(*by_seed, strict=True), strict=True)
                }
            if len(seeds) > 1:
                matrix["spread"] = [[stdev(cell) for cell in line] for line in values]
            matrices.append(matrix)
    return matrices


def own_gains(square: Sequence[Sequence[float]]) -> list[float]:
    """Return how much better each dataset's own calibration is than the levels of that calibration and dataset say.

    square: calibrations × datasets, in one order. It is the interaction of both on the diagonal: the cell, less the
    means of its row and its column, plus the mean of all. A calibration that is better on all datasets, or a dataset
    that is easier, changes nothing. If each own cell of n datasets is better by x, it is x · (n − 1) / n.
    """
    rows, columns = ([fmean(line) for line in lines] for lines in (square, [*zip(*square, strict=True)]))
    overall = fmean(rows)
    return [rows[at] + columns[at] - overall - square[at][at] for at in range(len(square))]


def _cell(rows: Sequence[Row], calibration: str, dataset: str, figure: str) -> dict[int, Mapping[str, Any]]:
    """Return the figures of each seed."""
    return {
        row["seed"]: row["quality"][dataset]
        for row in rows
        if "+".join(row["calibration"]) == calibration and figure in row["quality"].get(dataset, {})
    }


def _gain(
    own: int, others: Sequence[int], column: Sequence[Sequence[Mapping[str, Any]]], figure: str
) -> dict[str, Any]:
    """Return the lead of `own` over the best of the others; `column`: calibrations, or methods, × seeds."""
    best = [[-one[figure] for one in cell] for cell in column]

    def over_next(scores: Sequence[float]) -> float:
        return scores[own] - max(scores[index] for index in others)

    overall = over_next([fmean(cell) for cell in best])
    reported: dict[str, Any] = {"is_best": overall > 0, "gain": overall}
    if len(best[own]) > 1:
        reported["gain_by_seed"] = [over_next(scores) for scores in zip(*best, strict=True)]
    nats_key, bytes_key, files_key = _SNIPPETS.get(figure, ("", "", ""))
    if nats_key in column[own][0]:
        nats = [[fmean(snippet) for snippet in zip(*(one[nats_key] for one in cell), strict=True)] for cell in column]
        sizes = column[own][0][bytes_key]

        def drawn_gain(drawn: Sequence[int]) -> float:
            bits = math.log(2) * sum(sizes[index] for index in drawn)
            return over_next([-sum(cell[index] for index in drawn) / bits for cell in nats])

        interval = bootstrap(drawn_gain, len(sizes), files=column[own][0].get(files_key, ()))
        reported["gain_interval"] = [interval.low, interval.high]
    return reported

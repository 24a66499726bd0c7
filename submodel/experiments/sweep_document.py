"""A sweep's points as curves over the ratio, and as matrices of calibrated on × measured on. Pure functions on rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, Final

FIGURES: Final = ("bits_per_byte", "fim_bits_per_byte", "fim_exact_match")
Row = Mapping[str, Any]


def make_curves(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A curve a method, calibration and measured domain: [ratio, mean over seeds, least, most], the dense base first.

    `is_own`: it is measured on what it was calibrated on.
    """
    dense = next((row for row in rows if row["method"] == "dense"), None)
    groups: defaultdict[tuple[str, str, str, str], defaultdict[float, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        if row["method"] == "dense":
            continue
        for domain, figures in row["quality"].items():
            for figure in FIGURES:
                if figure in figures:
                    key = (_method(row), "+".join(row["calibration"]), domain, figure)
                    groups[key][row["sparsity"]].append(figures[figure])
    curves = []
    for (method, calibration, domain, figure), ratios in groups.items():
        start = [] if dense is None or figure not in dense["quality"][domain] else [dense["quality"][domain][figure]]
        points = [[0.0, start[0], start[0], start[0]]] if start else []
        points += [[ratio, fmean(values), min(values), max(values)] for ratio, values in sorted(ratios.items())]
        curves.append(
            {
                "method": method,
                "calibration": calibration,
                "measured_on": domain,
                "figure": figure,
                "is_own": domain == calibration,
                "points": points,
            }
        )
    return curves


def make_matrices(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A matrix a method, ratio and figure, where there are several calibrations and several measured domains.

    `mean` and `spread` (standard deviation over seeds; absent with one seed): calibrations × measured domains.
    `diagonal_is_best`: for each measured domain that is also a calibration of its own, whether that one's mean is the
    best of the single-domain calibrations, and by how much it beats the next, in units of the figure; the same of each
    seed alone (`gain_by_seed`), against the best of that seed's others.
    """
    groups: defaultdict[tuple[str, float], list[Row]] = defaultdict(list)
    for row in rows:
        if row["method"] != "dense":
            groups[_method(row), row["sparsity"]].append(row)
    matrices = []
    for (method, ratio), members in groups.items():
        calibrations = list(dict.fromkeys("+".join(row["calibration"]) for row in members))
        measured = list(members[0]["quality"])
        if min(len(calibrations), len(measured)) < 2:
            continue
        for figure in FIGURES:
            cells = [
                [_cell(members, calibration, domain, figure) for domain in measured] for calibration in calibrations
            ]
            if not all(all(cell for cell in line) for line in cells):
                continue
            mean = [[fmean(cell) for cell in line] for line in cells]
            matrix: dict[str, Any] = {
                "method": method,
                "sparsity": ratio,
                "figure": figure,
                "calibrated_on": calibrations,
                "measured_on": measured,
                "seeds": len({row["seed"] for row in members}),
                "mean": mean,
                "diagonal_is_best": _diagonal(calibrations, measured, cells, higher_is_better="match" in figure),
            }
            if all(len(cell) > 1 for line in cells for cell in line):
                matrix["spread"] = [[stdev(cell) for cell in line] for line in cells]
            matrices.append(matrix)
    return matrices


def _cell(rows: Sequence[Row], calibration: str, domain: str, figure: str) -> list[float]:
    return [
        row["quality"][domain][figure]
        for row in rows
        if "+".join(row["calibration"]) == calibration and figure in row["quality"].get(domain, {})
    ]


def _diagonal(
    calibrations: Sequence[str],
    measured: Sequence[str],
    cells: Sequence[Sequence[Sequence[float]]],
    *,
    higher_is_better: bool,
) -> dict[str, dict[str, Any]]:
    """`cells`: calibrations × measured domains × seeds, in one order of seeds."""
    singles = [index for index, name in enumerate(calibrations) if name in measured]
    told: dict[str, dict[str, Any]] = {}
    for column, domain in enumerate(measured):
        if domain not in calibrations or len(singles) < 2:
            continue
        own = calibrations.index(domain)
        others = [cells[index][column] for index in singles if index != own]

        def gain(own_figure: float, other_figures: Sequence[float]) -> float:
            return own_figure - max(other_figures) if higher_is_better else min(other_figures) - own_figure

        overall = gain(fmean(cells[own][column]), [fmean(other) for other in others])
        told[domain] = {"is_best": overall > 0, "gain": overall}
        seeds = len(cells[own][column])
        if seeds > 1 and all(len(other) == seeds for other in others):
            told[domain]["gain_by_seed"] = [
                gain(*pair) for pair in zip(cells[own][column], zip(*others, strict=True), strict=True)
            ]
    return told


def _method(row: Row) -> str:
    return f"{row['method']} {row['pattern']}" if "pattern" in row else str(row["method"])

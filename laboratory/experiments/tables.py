"""The tables that the experiments print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from laboratory.datasets import LANGUAGE_PREFIX


def regions_table(document: Mapping[str, Any]) -> list[Table]:
    """Make the tables of `submodel-lab compare`: the pairs with their baselines, then the modules."""
    pairs = Table(title="Jaccard distance of kept weights")
    for title in ("models", "relation", "distance", "random", "random, simulated"):
        pairs.add_column(title, justify="left" if title in ("models", "relation") else "right")
    for pair in document["pairs"]:
        figures = (pair["jaccard_distance"], pair["random_expected"], pair["random_simulated"])
        pairs.add_row(escape(" | ".join(pair["models"])), pair["relation"], *(f"{figure:.4f}" for figure in figures))
    reported = []
    if "same_dataset_baseline" in document:
        reported.append(f"another seed, same dataset: {document['same_dataset_baseline']:.4f}")
    if "other_dataset_mean" in document:
        reported.append(f"another dataset: {document['other_dataset_mean']:.4f}")
    pairs.caption = "mean distances: " + "; ".join(reported) if reported else None
    modules = Table(title="by module, mean and range over pairs")
    for title in ("module", "mean", "least", "most"):
        modules.add_column(title, justify="left" if title == "module" else "right")
    for name, distances in document["modules"].items():
        values = list(distances.values())
        modules.add_row(name, f"{sum(values) / len(values):.4f}", f"{min(values):.4f}", f"{max(values):.4f}")
    return [pairs, modules]


def sweep_tables(document: Mapping[str, Any]) -> list[Table]:
    """Make the tables of `submodel-lab sweep`: bits per byte by point, rankings of methods, matrices of datasets."""
    if not document["points"]:
        return []
    points = Table(title="bits per byte: left to right/missing middles", caption="removed: share of all parameters")
    for title in ("method, ratio", "removed", "calibrated on", "measured on", "bits per byte"):
        points.add_column(title, justify="right" if title in ("removed", "bits per byte") else "left")
    for row in document["points"]:
        seed = "" if row["seed"] is None else f", seed {row['seed']}"
        method = (
            f"{row['method']} {row['sparsity']:g}{seed}",
            f"{row['removed_share']:.1%}",
            _named(" + ".join(row["calibration"])),
        )
        for index, (dataset, figures) in enumerate(row["quality"].items()):
            points.add_row(*(method if index == 0 else ("", "", "")), _named(dataset), _bits(figures))
    rankings = [_rankings(document["rankings"])] if document["rankings"] else []
    return [points, *rankings, *map(_matrix, document["matrices"])]


def _named(dataset: str) -> str:
    """Return the name of a dataset or mixture without the prefix that most names have."""
    return escape(dataset.replace(LANGUAGE_PREFIX, ""))


def _bits(figures: Mapping[str, Any]) -> str:
    shown = [f"{figures[key]:.3f}" for key in ("bits_per_byte", "fim_bits_per_byte") if key in figures]
    return "/".join(shown)


def _rankings(rankings: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="methods, best first, by how much", caption="95 % intervals over held-out text, not over seeds")
    for title in ("ratio", "calibrated on", "measured on", "figure", "methods"):
        table.add_column(title, justify="right" if title == "ratio" else "left")
    for one in rankings:
        names = (_named(one["calibration"]), _named(one["measured_on"]), one["figure"])
        table.add_row(f"{one['sparsity']:g}", *names, "\n".join(map(ranked, one["methods"])))
    return table


def _matrix(matrix: Mapping[str, Any]) -> Table:
    table = Table(title=f"{matrix['figure']}, {matrix['method']} at {matrix['sparsity']:g}, {matrix['seeds']} seeds")
    table.add_column("calibrated on ↓, measured on →")
    for dataset in matrix["measured_on"]:
        table.add_column(_named(dataset), justify="right")
    for row, calibration in enumerate(matrix["calibrated_on"]):
        spread = matrix["spread"][row] if "spread" in matrix else [None] * len(matrix["measured_on"])
        cells = [
            f"{mean:.4f}" + ("" if other is None else f" ± {other:.4f}")
            for mean, other in zip(matrix["mean"][row], spread, strict=True)
        ]
        table.add_row(_named(calibration), *cells)
    return table


def ranked(method: Mapping[str, Any]) -> str:
    """A method of a sweep's ranking: its mean, and by how much it is before the next one."""
    reported = f"{method['method']} {method['mean']:.3f}"
    if "over_next" not in method:
        return reported
    gain = method["over_next"]
    interval = " ({:.3f} to {:.3f})".format(*gain["gain_interval"]) if "gain_interval" in gain else ""
    return f"{reported}, by {gain['gain']:.3f}{interval}"

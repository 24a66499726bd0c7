"""What the experiments print, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def regions_table(document: Mapping[str, Any]) -> list[Table]:
    """Of `submodel compare`: the pairs with their baselines, then the modules."""
    pairs = Table(title=f"Jaccard distance of kept {'weights' if document['kind'] == 'masks' else 'channels'}")
    for title in ("models", "relation", "distance", "random", "random, simulated"):
        pairs.add_column(title, justify="left" if title in ("models", "relation") else "right")
    for pair in document["pairs"]:
        figures = (pair["jaccard_distance"], pair["random_expected"], pair["random_simulated"])
        pairs.add_row(" | ".join(pair["models"]), pair["relation"], *(f"{figure:.4f}" for figure in figures))
    told = []
    if "same_domain_baseline" in document:
        told.append(f"another seed, same domain: {document['same_domain_baseline']:.4f}")
    if "other_domain_mean" in document:
        told.append(f"another domain: {document['other_domain_mean']:.4f}")
    if "tokens" in document:
        distances = document["tokens"]["jaccard_distance"].values()
        told.append(
            f"kept tokens: {sum(distances) / len(distances):.4f} (random {document['tokens']['random_baseline']:.4f})"
        )
    pairs.caption = "mean distances: " + "; ".join(told) if told else None
    modules = Table(title="by module, mean and range over pairs")
    for title in ("module", "mean", "least", "most"):
        modules.add_column(title, justify="left" if title == "module" else "right")
    for name, distances in document["modules"].items():
        values = list(distances.values())
        modules.add_row(name, f"{sum(values) / len(values):.4f}", f"{min(values):.4f}", f"{max(values):.4f}")
    return [pairs, modules]

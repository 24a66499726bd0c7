"""`submodel-lab compare`: how far models keep the same of their base, beside what chance and another seed give."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from contract.errors import BuildError
from contract.progress import OnProgress, no_progress
from laboratory.experiments.regions import Region, read_region, short_names
from laboratory.sparsity.overlap import Overlap, expect_random, measure, simulate_random

SAME_DATASET: Final = "same dataset, another seed"
OTHER_DATASET: Final = "another dataset"
OTHER_FORMAT: Final = "another prompt format"  # prompts or plain text, of one dataset or two
OTHER_METHOD: Final = "another method"
SAME: Final = "same dataset and seed"


def run_compare(folders: Sequence[Path], *, seed: int = 0, on_progress: OnProgress = no_progress) -> dict[str, Any]:
    """Compare every pair of folders; return the document that `--json` prints. Raises BuildError."""
    if len(folders) < 2:
        raise BuildError("Comparing needs two folders at least; give those that `submodel-lab prune` wrote.")
    regions = [read_region(folder, name) for folder, name in zip(folders, short_names(folders), strict=True)]
    return compare_regions(regions, seed=seed, on_progress=on_progress)


def compare_regions(
    regions: Sequence[Region], *, seed: int = 0, on_progress: OnProgress = no_progress
) -> dict[str, Any]:
    """Return the document of `submodel-lab compare`; raise BuildError if the models differ in base."""
    _check_alike(regions)
    pairs = list(itertools.combinations(range(len(regions)), 2))
    rng = np.random.default_rng(seed)
    totals, expected, simulated = (_Sums() for _ in range(3))
    parts = regions[0].parts
    for done, part in enumerate(parts):
        choices = [region.read(part) for region in regions]
        for pair in pairs:
            one, other = (choices[index] for index in pair)
            try:
                totals.add(part, pair, measure(one, other))
            except ValueError as error:
                raise BuildError(f"{part} differs in shape ({error}); compare models of one base.") from error
            expected.add(part, pair, expect_random(one, other))
            simulated.add(part, pair, simulate_random(one, other, rng))
        on_progress(done + 1, len(parts))
    names = {pair: "|".join(regions[index].name for index in pair) for pair in pairs}
    relations = {pair: _relation(regions[pair[0]], regions[pair[1]]) for pair in pairs}
    document: dict[str, Any] = {
        "models": [region.name for region in regions],
        "kind": "masks",
        "jaccard_distance": {names[pair]: totals.all(pair).distance for pair in pairs},
        "random_baseline": _mean([expected.all(pair).distance for pair in pairs]),
        "random_simulated": _mean([simulated.all(pair).distance for pair in pairs]),
        "pairs": [
            {
                "models": [regions[index].name for index in pair],
                "relation": relations[pair],
                "jaccard_distance": totals.all(pair).distance,
                "random_expected": expected.all(pair).distance,
                "random_simulated": simulated.all(pair).distance,
            }
            for pair in pairs
        ],
        "modules": totals.by_module(pairs, names),
        "layers": totals.by_layer(pairs, names, expected),
    }
    for key, relation in (("same_dataset_baseline", SAME_DATASET), ("other_dataset_mean", OTHER_DATASET)):
        distances = [totals.all(pair).distance for pair in pairs if relations[pair] == relation]
        if distances:
            document[key] = _mean(distances)
    return document


def _check_alike(regions: Sequence[Region]) -> None:
    first = regions[0]
    for region in regions[1:]:
        if set(region.parts) != set(first.parts):
            raise BuildError(f"{first.name} and {region.name} have other layers; compare models of one base.")
        bases = [one.manifest.get("base", {}).get("sha256") for one in (first, region)]
        if bases[0] != bases[1]:
            raise BuildError(f"{first.name} and {region.name} come from two bases; compare models of one base.")


def _relation(one: Region, other: Region) -> str:
    if one.method != other.method:
        return OTHER_METHOD
    if one.prompt_format != other.prompt_format:
        return OTHER_FORMAT
    if one.dataset != other.dataset:
        return OTHER_DATASET
    return SAME if one.seed == other.seed else SAME_DATASET


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class _Sums:
    """Overlaps by part and pair."""

    def __init__(self) -> None:
        self._overlaps: dict[tuple[str, tuple[int, int]], Overlap] = {}

    def add(self, part: str, pair: tuple[int, int], overlap: Overlap) -> None:
        self._overlaps[part, pair] = overlap

    def part(self, part: str, pair: tuple[int, int]) -> Overlap:
        return self._overlaps[part, pair]

    def all(self, pair: tuple[int, int]) -> Overlap:
        """Return the sum over all layers."""
        return self._sum(pair, lambda part: True)

    def _sum(self, pair: tuple[int, int], counts: Callable[[str], bool]) -> Overlap:
        return sum((found for (part, of), found in self._overlaps.items() if of == pair and counts(part)), Overlap())

    def by_module(self, pairs: Sequence[tuple[int, int]], names: dict[tuple[int, int], str]) -> dict[str, Any]:
        modules = dict.fromkeys(_split(part)[1] for part, _ in self._overlaps)
        return {
            module: {
                names[pair]: self._sum(pair, lambda part: _split(part)[1] == module).distance  # noqa: B023
                for pair in pairs
            }
            for module in modules
        }

    def by_layer(
        self, pairs: Sequence[tuple[int, int]], names: dict[tuple[int, int], str], expected: _Sums
    ) -> list[dict[str, Any]]:
        layers: defaultdict[int, dict[str, None]] = defaultdict(dict)
        for part, _ in self._overlaps:
            layers[_split(part)[0]][part] = None
        return [
            {
                "layer": layer,
                "jaccard_distance": {
                    names[pair]: sum((self.part(part, pair) for part in parts), Overlap()).distance for pair in pairs
                },
                "random_baseline": _mean(
                    [sum((expected.part(part, pair) for part in parts), Overlap()).distance for pair in pairs]
                ),
                "modules": {
                    _split(part)[1]: {names[pair]: self.part(part, pair).distance for pair in pairs} for part in parts
                },
            }
            for layer, parts in sorted(layers.items())
        ]


def _split(part: str) -> tuple[int, str]:
    """`layers.3.mlp.up_proj` → (3, "mlp.up_proj")."""
    _, layer, module = part.split(".", 2)
    return int(layer), module

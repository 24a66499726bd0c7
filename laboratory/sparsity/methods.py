"""The methods by name, behind one interface: a weight, the statistics of its inputs, a target → mask and weight.

All methods are pure functions: none changes its arguments, and none knows of models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from contract.errors import BuildError
from laboratory.sparsity.activation_statistics import InputStatistics
from laboratory.sparsity.masks import Target, choose_kept, magnitude_scores, wanda_scores
from laboratory.sparsity.sparsegpt import prune_sparsegpt

Tensor = torch.Tensor


@dataclass(frozen=True, kw_only=True)
class PrunedMatrix:
    """`kept`: bool; `weight`: float32, zero where nothing is kept; both (outputs, inputs)."""

    kept: Tensor
    weight: Tensor


PruneMatrix = Callable[[Tensor, InputStatistics, Target], PrunedMatrix]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to make a matrix sparse."""

    name: str
    prune: PruneMatrix
    needs_gram: bool = False


def prune_by_magnitude(weight: Tensor, statistics: InputStatistics, target: Target) -> PrunedMatrix:
    """Keep the largest weights of each row. The inputs do not influence this method."""
    return _masked(weight, choose_kept(magnitude_scores(weight), target))


def prune_by_wanda(weight: Tensor, statistics: InputStatistics, target: Target) -> PrunedMatrix:
    """Keep the weights of each row that move its output most; nothing is updated."""
    return _masked(weight, choose_kept(wanda_scores(weight, statistics.squares), target))


def prune_by_sparsegpt(weight: Tensor, statistics: InputStatistics, target: Target) -> PrunedMatrix:
    """Choose zeros column by column, and update the weights that stay to make up for them."""
    kept, updated = prune_sparsegpt(weight, statistics.require_gram(), target)
    return PrunedMatrix(kept=kept, weight=updated)


METHODS: Final[Mapping[str, Method]] = {
    method.name: method
    for method in (
        Method(name="magnitude", prune=prune_by_magnitude),
        Method(name="wanda", prune=prune_by_wanda),
        Method(name="sparsegpt", prune=prune_by_sparsegpt, needs_gram=True),
    )
}


def find_method(name: str) -> Method:
    """Return the method of that name; raise BuildError if there is none."""
    if name not in METHODS:
        raise BuildError(f"There is no pruning method {name!r}; give one of {', '.join(METHODS)}.")
    return METHODS[name]


def _masked(weight: Tensor, kept: Tensor) -> PrunedMatrix:
    return PrunedMatrix(kept=kept, weight=weight.float() * kept)


@dataclass(frozen=True, kw_only=True)
class SparsitySettings:
    """How the seven matrices of each layer are pruned; embeddings and head stay whole."""

    method: str = "wanda"
    sparsity: float = 0.5  # share of zeros, of the pruned matrices

    def __post_init__(self) -> None:
        find_method(self.method)
        target = Target(sparsity=self.sparsity)
        if target.sparsity == 0.0:
            raise BuildError("A sparsity of 0 prunes nothing; give a share of zeros such as 0.5.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings for keys and manifests."""
        return {"method": self.method, "sparsity": self.sparsity}

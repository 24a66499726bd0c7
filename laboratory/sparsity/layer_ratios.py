"""Unequal sparsity over the layers: those with more outlier weights keep more (OWL).

Yin et al., Outlier Weighed Layerwise Sparsity (OWL): A Missing Secret Sauce for Pruning LLMs to High Sparsity, 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from contract.errors import BuildError

Tensor = torch.Tensor


def outlier_share(scores: Sequence[Tensor], multiple: float) -> float:
    """Return the share of a layer's weights whose Wanda score exceeds `multiple` times the mean (equation 2, D_l).

    scores: one matrix, (outputs, inputs), for each weight matrix of the layer; the mean is over all of them.
    """
    count = sum(matrix.numel() for matrix in scores)
    mean = sum(float(matrix.sum(dtype=torch.float64)) for matrix in scores) / count
    return sum(int((matrix > multiple * mean).sum()) for matrix in scores) / count


def spread_sparsity(shares: Sequence[float], sparsity: float, spread: float) -> tuple[float, ...]:
    """Return a sparsity for each layer, lower for a higher share of outliers; the mean is `sparsity` (section 3.3).

    Sparsities differ by 2·spread at most, and by less if one would leave the range from 0 to 1.
    """
    if not 0.0 <= sparsity < 1.0 or spread < 0.0:
        raise BuildError(f"A sparsity of {sparsity:g} with a spread of {spread:g} is out of range.")
    width = max(shares) - min(shares)
    if width <= 0.0 or spread == 0.0:
        return (sparsity,) * len(shares)
    lifted = [2 * spread * (share - min(shares)) / width for share in shares]
    offsets = [sum(lifted) / len(lifted) - one for one in lifted]  # what is added to the mean sparsity; sums to zero
    limits = [sparsity / -offset for offset in offsets if offset < 0]
    limits += [(1.0 - sparsity) * 0.999 / offset for offset in offsets if offset > 0]
    room = min([1.0, *limits])
    return tuple(max(sparsity + room * offset, 0.0) for offset in offsets)  # rounding may go below

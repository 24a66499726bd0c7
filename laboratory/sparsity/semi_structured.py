"""2:4 kernels of NVIDIA GPUs (Ampere and later), through torch: only there do zeros save time.

Mishra et al., Accelerating Sparse Deep Neural Networks, 2021. A CPU has no such kernels; `is_supported` says so before
anything is changed.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from transformers import PreTrainedModel

from contract.errors import BuildError
from laboratory.sparsity.pattern import GroupPattern
from laboratory.sparsity.walk import MATRICES

TWO_OF_FOUR: Final = GroupPattern(zeros=2, size=4)
_LEAST_CAPABILITY: Final = (8, 0)


def is_supported() -> bool:
    """Return whether this machine has a GPU with 2:4 kernels."""
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= _LEAST_CAPABILITY


def follows(weight: torch.Tensor, pattern: GroupPattern) -> bool:
    """Return whether every group of the weight, (outputs, inputs), has at least the pattern's zeros."""
    if weight.shape[1] % pattern.size:
        return False
    zeros = (weight == 0).reshape(-1, pattern.size).sum(dim=1)
    return bool((zeros >= pattern.zeros).all())


def use_sparse_kernels(model: PreTrainedModel) -> int:
    """Let sparse kernels multiply the 2:4 matrices of `model`, in place; return how many matrices were converted.

    The model must be on a GPU, in a 16-bit type. Raises BuildError without such a GPU, or if a matrix of a layer is not
    2:4.
    """
    if not is_supported():
        raise BuildError("No GPU with 2:4 kernels is here (NVIDIA, compute capability 8.0 or later); run it dense.")
    count = 0
    for index, layer in enumerate(model.model.layers):
        for name in MATRICES:
            matrix = layer.get_submodule(name)
            if not follows(matrix.weight, TWO_OF_FOUR):
                raise BuildError(f"{name} of layer {index} is not 2:4; prune with --pattern 2:4.")
            compressed = torch.sparse.to_sparse_semi_structured(matrix.weight.detach())
            matrix.weight = nn.Parameter(compressed, requires_grad=False)
            count += 1
    return count

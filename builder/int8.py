"""Products with weights in 8 bits, each row with a scale of its own, on processors that multiply those faster.

As in SwitchBack (Wortsman et al., Stable and low-precision training for large-scale vision-language models, 2023).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from math import inf

import torch
from torch import nn
from torch.nn.functional import linear

from builder.number_format import shortest_seconds
from builder.replaced_forwards import replaced_forwards

Tensor = torch.Tensor
Quantized = tuple[Tensor, Tensor]  # rows as int8, and the scale of each as float32
LARGEST = 127


def scales_along(values: Tensor, dim: int) -> Tensor:
    """Return what int8 is multiplied with, float32, one for all `values` along a dimension, which stays with size 1."""
    scales = torch.maximum(values.amax(dim, keepdim=True), -values.amin(dim, keepdim=True)).float()
    return scales.clamp_(min=torch.finfo(torch.float32).tiny * LARGEST).div_(LARGEST)


def quantize_rows(rows: Tensor) -> Quantized:
    """Round `rows` (rows, columns) to int8; their scales are (rows, 1)."""
    scales = scales_along(rows, 1)
    return torch.mul(rows, scales.reciprocal()).round_().to(torch.int8), scales


def multiply(inputs: Quantized, weight: Quantized) -> Tensor:
    """Return `x Wᵀ` in float32, (rows, outputs), for inputs (rows, columns) and a weight (outputs, columns)."""
    weight_rows, weight_scales = weight
    return unscaled(inputs, weight_rows.t()).mul_(weight_scales.t())


def unscaled(inputs: Quantized, weight: Tensor) -> Tensor:
    """Return the product of quantized rows and `weight` (columns, outputs), int8, without the weight's scales."""
    rows, scales = inputs
    return torch._int_mm(rows, weight).float().mul_(scales)


class InputCache:
    """The quantized inputs of the last product: query, key and value have the same ones."""

    def __init__(self) -> None:
        self._last: Tensor | None = None
        self._quantized: Quantized | None = None

    def quantize(self, inputs: Tensor) -> Quantized:
        """Return `inputs` (…, columns) as quantized rows."""
        if self._quantized is None or self._last is not inputs:
            self._last = inputs
            self._quantized = quantize_rows(inputs.detach().reshape(-1, inputs.shape[-1]))
        return self._quantized


def in_8_bits(module: nn.Module) -> AbstractContextManager[None]:
    """While it is entered the linear layers of a module multiply in 8 bits; what they return has no gradient."""
    cache = InputCache()
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return replaced_forwards(
        {layer: partial(_outputs, layer, cache, quantize_rows(layer.weight.detach())) for layer in layers}
    )


def _outputs(layer: nn.Linear, cache: InputCache, weight: Quantized, inputs: Tensor) -> Tensor:
    outputs = multiply(cache.quantize(inputs), weight)
    if layer.bias is not None:
        outputs += layer.bias
    return outputs.to(inputs.dtype).view(*inputs.shape[:-1], -1)


def is_int8_faster(dtype: torch.dtype) -> bool:
    """Whether this processor multiplies rightly in 8 bits, and faster than in `dtype`: it is measured, in turns.

    A build gains more than a product does (dev/LOG.md), so that a tenth is enough.
    """
    rows, columns, outputs = 1024, 896, 3072  # of a pass and a layer of the first base, about
    inputs, weight = torch.randn(rows, columns, dtype=dtype), torch.randn(outputs, columns, dtype=dtype)
    quantized = quantize_rows(weight)
    in_8_bits = in_dtype = inf

    def run_in_8_bits() -> None:  # most layers share their inputs with another one
        rounded = quantize_rows(inputs)
        for _ in range(2):
            multiply(rounded, quantized).to(dtype)

    def run_in_dtype() -> None:
        for _ in range(2):
            linear(inputs, weight)

    try:
        if not multiplies_rightly():
            return False
        for _ in range(3):  # what else runs here slows one turn of both
            # Where no kernel is made for it, one product takes seconds.
            in_8_bits = min(in_8_bits, shortest_seconds(run_in_8_bits, 2, most_s=1.0))
            in_dtype = min(in_dtype, shortest_seconds(run_in_dtype, 2, most_s=1.0))
            if in_8_bits > 2 * in_dtype:
                return False
    except (AttributeError, RuntimeError):  # this torch has no such product, or not for this processor
        return False
    return in_8_bits < 0.9 * in_dtype


def multiplies_rightly() -> bool:
    """Whether the largest sums come out: some processors without VNNI add pairs in 16 bits, which these leave.

    False if this torch has no such product, or not for this processor.
    """
    columns = 896  # of a layer of the first base
    largest = torch.full((16, columns), LARGEST, dtype=torch.int8)
    signs = torch.tensor([1, -1], dtype=torch.int8).repeat(8)[:, None]
    try:
        sums = torch._int_mm(largest.repeat(4, 1), (signs * largest).t())
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(sums, (signs.int() * columns * LARGEST**2).t().expand(64, -1))

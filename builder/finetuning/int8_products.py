"""Products with frozen weights in 8 bits, forwards and back, on processors that multiply those faster.

As in SwitchBack (Wortsman et al., Stable and low-precision training for large-scale vision-language models, 2023) each
row of the inputs and of the gradients has its own scale, and so has each output of a weight. The gradients of the
low-rank factors, and those behind the logits, are products in the model's own type: most of a softmax's gradients are
too small for 8 bits beside the largest one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch.nn.functional import linear

from builder.finetuning.finetune_settings import FinetuneSettings
from builder.number_format import shortest_seconds

Tensor = torch.Tensor
Quantized = tuple[Tensor, Tensor]  # rows as int8, and the scale of each as float32
LARGEST = 127


def quantize_rows(rows: Tensor) -> Quantized:
    """Round `rows` (rows, columns) to int8; their scales are (rows, 1)."""
    scales = torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True)).float()
    scales = scales.clamp_(min=torch.finfo(torch.float32).tiny * LARGEST).div_(LARGEST)
    return torch.mul(rows, scales.reciprocal()).round_().to(torch.int8), scales


def multiply(inputs: Quantized, weight: Quantized) -> Tensor:
    """Return `x Wᵀ` in float32, (rows, outputs), for inputs (rows, columns) and a weight (outputs, columns)."""
    weight_rows, weight_scales = weight
    return _unscaled(inputs, weight_rows.t()).mul_(weight_scales.t())


def _unscaled(inputs: Quantized, weight: Tensor) -> Tensor:
    rows, scales = inputs
    return torch._int_mm(rows, weight).float().mul_(scales)


@contextmanager
def int8_products(model: Any) -> Iterator[None]:
    """Within the block the adapted layers and the head of `model` multiply by their frozen weights in 8 bits.

    Nothing reads the weights of the adapted layers meanwhile: they are kept in bfloat16 where that loses nothing, as of
    what a checkpoint of ours held.
    """
    cache = _Inputs()
    adapted: list[Any] = [module for module in model.modules() if isinstance(module, Linear)]
    forwards: dict[Any, Callable[[Tensor], Tensor]] = {
        module: partial(_adapted, module, cache, quantize_rows(module.get_base_layer().weight.detach()))
        for module in adapted
    }
    head = model.get_output_embeddings()
    forwards[head] = partial(_logits, quantize_rows(head.weight.detach()), head.weight.detach())
    weights = [module.get_base_layer().weight for module in adapted]
    dtypes = [weight.dtype for weight in weights]
    for module, forward in forwards.items():
        module.forward = forward
    for weight in weights:
        half = weight.data.bfloat16()
        weight.data = half if torch.equal(half.to(weight.dtype), weight.data) else weight.data
    try:
        yield
    finally:
        for module in forwards:
            del module.forward
        for weight, dtype in zip(weights, dtypes, strict=True):
            weight.data = weight.data.to(dtype)


class _Inputs:
    """The quantized inputs of the last product: query, key and value have the same ones."""

    def __init__(self) -> None:
        self._last: Tensor | None = None
        self._quantized: Quantized | None = None

    def quantize(self, inputs: Tensor) -> Quantized:
        if self._quantized is None or self._last is not inputs:
            self._last = inputs
            self._quantized = quantize_rows(inputs.detach().reshape(-1, inputs.shape[-1]))
        return self._quantized


def _adapted(module: Linear, cache: _Inputs, weight: Quantized, inputs: Tensor) -> Tensor:
    (name,) = module.active_adapters
    factors = module.lora_A[name].weight, module.lora_B[name].weight
    bias, scaling = module.get_base_layer().bias, module.scaling[name]
    product: Tensor = _AdaptedProduct.apply(inputs, *factors, cache.quantize(inputs), weight, bias, scaling)  # type: ignore[no-untyped-call]
    return product


class _AdaptedProduct(torch.autograd.Function):
    """`W x + b + scaling · B A x`, of which A and B are trained. What is kept of x is its 8 bits."""

    @staticmethod
    @torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any,
        inputs: Tensor,  # (…, columns)
        down: Tensor,  # A, (rank, columns)
        up: Tensor,  # B, (outputs, rank)
        quantized: Quantized,  # the inputs
        weight: Quantized,
        bias: Tensor | None,
        scaling: float,
    ) -> Tensor:
        outputs = multiply(quantized, weight)
        if bias is not None:
            outputs += bias
        low = inputs.reshape(-1, inputs.shape[-1]) @ down.to(inputs.dtype).t()
        outputs.addmm_(low.float(), up.t(), alpha=scaling)
        ctx.save_for_backward(*quantized, low, down, up)
        ctx.weight, ctx.scaling, ctx.shape = weight, scaling, inputs.shape
        return outputs.to(inputs.dtype).view(*inputs.shape[:-1], -1)

    @staticmethod
    @torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, scales, low, down, up = ctx.saved_tensors
        weight_rows, weight_scales = ctx.weight
        dtype = gradients.dtype
        gradients = gradients.reshape(-1, gradients.shape[-1])
        of_low = (gradients @ up.to(dtype)).mul_(ctx.scaling)
        of_up = (gradients.t() @ low).mul_(ctx.scaling).to(up.dtype)
        of_down = ((of_low * scales.to(dtype)).t() @ rows.to(dtype)).to(down.dtype)
        of_inputs = None
        if ctx.needs_input_grad[0]:
            of_inputs = _unscaled(quantize_rows(gradients * weight_scales.t()), weight_rows)
            of_inputs = of_inputs.addmm_(of_low.float(), down).to(dtype).view(ctx.shape)
        return of_inputs, of_down, of_up, None, None, None, None


def _logits(quantized: Quantized, weight: Tensor, inputs: Tensor) -> Tensor:
    logits: Tensor = _Logits.apply(inputs, quantized, weight)  # type: ignore[no-untyped-call]
    return logits


class _Logits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, quantized: Quantized, weight: Tensor) -> Tensor:
        ctx.weight, ctx.dtype = weight, inputs.dtype
        return multiply(quantize_rows(inputs.reshape(-1, inputs.shape[-1])), quantized).view(*inputs.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None, None]:
        return (gradients.to(ctx.weight.dtype) @ ctx.weight).to(ctx.dtype), None, None


def is_int8_faster(model: Any, settings: FinetuneSettings) -> bool:
    """Whether `model` is on a processor that multiplies rightly in 8 bits, and clearly faster than in the model's type.

    With `steps` set it is not asked, so that no clock decides which model comes out.
    """
    return model.device.type == "cpu" and settings.steps is None and _is_faster_here(model.dtype)


def _is_faster_here(dtype: torch.dtype) -> bool:
    rows, columns, outputs = 1024, 896, 3072  # of a pass and a layer of the first base, about
    inputs, weight = torch.randn(rows, columns, dtype=dtype), torch.randn(outputs, columns, dtype=dtype)
    quantized = quantize_rows(weight)
    try:
        if not _is_right(columns):
            return False
        # Where no kernel is made for it, one product takes seconds.
        in_8_bits = shortest_seconds(lambda: multiply(quantize_rows(inputs), quantized).to(dtype), 8, most_s=1.0)
    except (AttributeError, RuntimeError):  # this torch has no such product, or not for this processor
        return False
    return in_8_bits < 0.7 * shortest_seconds(lambda: linear(inputs, weight), 8, most_s=1.0)


def _is_right(columns: int) -> bool:
    """Whether the largest sums come out: some processors without VNNI add pairs in 16 bits, which these leave."""
    largest = torch.full((16, columns), LARGEST, dtype=torch.int8)
    signs = torch.tensor([1, -1], dtype=torch.int8).repeat(8)[:, None]
    sums = torch._int_mm(largest.repeat(4, 1), (signs * largest).t())
    return torch.equal(sums, (signs.int() * columns * LARGEST**2).t().expand(64, -1))

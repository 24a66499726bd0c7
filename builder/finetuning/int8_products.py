"""Fine-tuning's products with frozen weights in 8 bits (`builder.int8`), forwards and back.

The gradients of the low-rank factors, and those behind the logits, are products in the model's own type: most of a
softmax's gradients are too small for 8 bits beside the largest one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Linear

from builder.int8 import InputCache, Quantized, multiply, quantize_rows, unscaled
from builder.replaced_forwards import replaced_forwards

Tensor = torch.Tensor


@contextmanager
def int8_products(model: Any) -> Iterator[None]:
    """Within the block the adapted layers and the head of `model` multiply by their frozen weights in 8 bits.

    Nothing reads the weights of the adapted layers meanwhile: they are kept in bfloat16 where that loses nothing, as of
    what a checkpoint of ours held.
    """
    cache = InputCache()
    adapted: list[Any] = [module for module in model.modules() if isinstance(module, Linear)]
    forwards: dict[Any, Callable[[Tensor], Tensor]] = {
        module: partial(_adapted, module, cache, quantize_rows(module.get_base_layer().weight.detach()))
        for module in adapted
    }
    head = model.get_output_embeddings()
    forwards[head] = partial(_logits, quantize_rows(head.weight.detach()), head.weight.detach())
    weights = [module.get_base_layer().weight for module in adapted]
    dtype = model.dtype
    with replaced_forwards(forwards):
        try:
            for weight in weights:
                half = weight.data.bfloat16()
                weight.data = half if torch.equal(half.to(dtype), weight.data) else weight.data
            yield
        finally:
            for weight in weights:
                weight.data = weight.data.to(dtype)


def _adapted(module: Linear, cache: InputCache, weight: Quantized, inputs: Tensor) -> Tensor:
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
            of_inputs = unscaled(quantize_rows(gradients * weight_scales.t()), weight_rows)
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

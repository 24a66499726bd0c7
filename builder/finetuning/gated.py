"""The gated part of feed-forward layers, of which a training step keeps as little as it can."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch.nn.functional import silu

from builder.replaced_forwards import replaced_forwards

Tensor = torch.Tensor


def gated_in_half(model: Any) -> AbstractContextManager[None]:
    """While it is entered a step keeps two values a channel in bfloat16, where torch would keep three as they are.

    These are most of what a step keeps. Models with another activation than SiLU stay as they are.
    """
    layers = [layer.mlp for layer in model.get_decoder().layers] if model.config.hidden_act == "silu" else []
    return replaced_forwards({mlp: partial(_feed_forward, mlp) for mlp in layers})


def _feed_forward(mlp: Any, inputs: Tensor) -> Tensor:
    gated: Tensor = _Gated.apply(mlp.gate_proj(inputs), mlp.up_proj(inputs))  # type: ignore[no-untyped-call]
    outputs: Tensor = mlp.down_proj(gated)
    return outputs


class _Gated(torch.autograd.Function):
    """`silu(gate) · up`; both are kept in bfloat16, since they are most of what a step keeps."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(gate.bfloat16(), up.bfloat16())
        return silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = (kept.to(gradients.dtype) for kept in ctx.saved_tensors)
        return torch.ops.aten.silu_backward(gradients * up, gate), silu(gate).mul_(gradients)

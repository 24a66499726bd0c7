"""The pass over the layers: each is measured on the outputs of the pruned ones before it, then pruned itself.

Covers Llama- and Qwen2-shaped decoders as transformers builds them. Memory beyond the model is one layer's need,
whatever the number of layers: hidden states of all tokens, activations, plain and weighted, and a few matrices as large
as its Gram matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from builder.int8 import in_8_bits
from builder.pruning.channels import ChannelChoice, choose_channels
from builder.pruning.streams import Block, Stream, attend, open_stream
from contract.progress import OnProgress, no_progress

Tensor = torch.Tensor
ROWS = 2048  # tokens whose activations are quantized at once


@dataclass(frozen=True, kw_only=True)
class WidthSettings:
    """How the feed-forward layers are narrowed."""

    # In each layer that we tried, one of these two was best and the other came close (dev/LOG.md).
    ridges: tuple[float, ...] = (0.1, 0.3)
    # Every sixth layer tries all ridges; the others reuse the one that won last.
    choose_ridge_every: int = 6


def narrow_layers(
    model: PreTrainedModel,
    calibration: Sequence[Sequence[int]],
    validation: Sequence[Sequence[int]],
    width: int,
    settings: WidthSettings,
    *,
    is_int8: bool = False,
    on_layer: OnProgress = no_progress,
) -> tuple[ChannelChoice, ...]:
    """Narrow every feed-forward layer of `model` to `width` channels, in place; the choices, a layer each.

    calibration, validation: token ids of different files, unpadded, in the form that the server sends. is_int8: the
    tokens pass the layers, and their Gram matrices are made, in products of 8 bits; the refit is in the model's type.
    on_layer(done, layers) is called after each layer.
    """
    products = in_8_bits if is_int8 else lambda module: nullcontext()
    with torch.no_grad():  # not inference mode: the new weights may be trained later
        streams = [open_stream(model, ids) for ids in (calibration, validation)]
        layers = model.model.layers
        choices: list[ChannelChoice] = []
        for index, layer in enumerate(layers):
            is_probe = index % settings.choose_ridge_every == 0
            ridges = settings.ridges if is_probe else (choices[-1].ridge,)
            larger = tuple(ridge for ridge in sorted(settings.ridges) if ridge > max(ridges))
            down = layer.mlp.down_proj
            with products(layer):
                activations, unseen = (_run_to_down_proj(layer, stream) for stream in streams)
                weighted, unseen_weighted = (
                    _over_residual(down, stream, inputs)
                    for stream, inputs in zip(streams, (activations, unseen), strict=True)
                )
            choice = choose_channels(
                down.weight,
                weighted,
                unseen_weighted,
                width,
                ridges=ridges,
                larger=larger,
                is_int8=is_int8,
            )
            replace_channels(layer.mlp, choice.channels, choice.weight)
            with products(down):
                for stream, inputs in zip(streams, (activations, unseen), strict=True):
                    _add_down_proj(down, stream, inputs[:, choice.channels])
            choices.append(choice)
            on_layer(index + 1, len(layers))
    model.config.intermediate_size = width
    return tuple(choices)


def replace_channels(mlp: Block, channels: Tensor, down_weight: Tensor) -> None:
    """Keep `channels` of a gated feed-forward module, with `down_weight` (hidden, kept) as its new output weight."""
    for projection in (mlp.gate_proj, mlp.up_proj):
        projection.weight = nn.Parameter(projection.weight[channels].clone(), requires_grad=False)
        if projection.bias is not None:
            projection.bias = nn.Parameter(projection.bias[channels].clone(), requires_grad=False)
        projection.out_features = len(channels)
    down = mlp.down_proj
    down.weight = nn.Parameter(down_weight.to(down.weight.dtype), requires_grad=False)
    down.in_features = len(channels)


def _run_to_down_proj(layer: Block, stream: Stream) -> Tensor:
    """Move the stream past the attention; returns the inputs of `down_proj`, (tokens of all sequences, channels)."""
    mlp = layer.mlp
    dtype = mlp.down_proj.weight.dtype
    collected = []
    for index, (state, rotary) in enumerate(zip(stream.states, stream.rotary, strict=True)):
        state = attend(layer, state, rotary)
        stream.states[index] = state
        normed = layer.post_attention_layernorm(state).to(dtype)
        collected.append((mlp.act_fn(mlp.gate_proj(normed)) * mlp.up_proj(normed))[0])
    return torch.cat(collected)


def _over_residual(down: nn.Linear, stream: Stream, activations: Tensor) -> Tensor:
    """The rows divided by the root mean square of the residual that the layer leaves at their token.

    The next norm divides by it too. So each row is weighted as later layers see its error. Without this the few
    tokens with massive activations (the first of each sequence) decide alone.
    """
    outputs = _in_parts(down, activations)
    residual = torch.cat([state[0] for state in stream.states]) + outputs
    scale = residual.square().mean(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny).rsqrt()
    weighted: Tensor = activations * scale.to(activations.dtype)
    return weighted


def _add_down_proj(down: nn.Linear, stream: Stream, activations: Tensor) -> None:
    outputs = _in_parts(down, activations)  # (tokens of all sequences, hidden)
    lengths = [state.shape[1] for state in stream.states]
    for index, output in enumerate(torch.split(outputs, lengths)):
        stream.states[index] = stream.states[index] + output[None]


def _in_parts(down: nn.Linear, activations: Tensor) -> Tensor:
    """Return the outputs for all tokens, ROWS at a time: quantizing copies them."""
    return torch.cat([down(activations[start : start + ROWS]) for start in range(0, len(activations), ROWS)])

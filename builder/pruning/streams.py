"""Hidden states on their way through the layers, a sequence at a time: what every pass over the layers moves along.

Nothing is padded, so that no padding enters a statistic. Covers Llama- and Qwen2-shaped decoders as transformers builds
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

Tensor = torch.Tensor
Block = Any  # a decoder layer of transformers, or its mlp: torch types every part of a module as Tensor | Module


@dataclass
class Stream:
    """Hidden states of some token sequences, one float32 tensor a sequence, and their rotary angles."""

    states: list[Tensor]  # each (1, tokens, hidden)
    rotary: list[tuple[Tensor, Tensor]]


def open_stream(model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> Stream:
    """The embedded sequences (token ids, unpadded), before the first layer."""
    stream = Stream(states=[], rotary=[])
    for ids in sequences:
        embedded = model.model.embed_tokens(torch.tensor([list(ids)]))
        positions = torch.arange(len(ids))[None]
        stream.states.append(embedded.float())  # the residual stays in float32, as the served model has it
        stream.rotary.append(model.model.rotary_emb(embedded, positions))
    return stream


def attend(layer: Block, state: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """One sequence moved past the layer's attention; state: (1, tokens, hidden) float32, and so is the result."""
    dtype = layer.mlp.down_proj.weight.dtype
    attended: Tensor = layer.self_attn(
        hidden_states=layer.input_layernorm(state).to(dtype), position_embeddings=rotary, attention_mask=None
    )[0]
    return state + attended

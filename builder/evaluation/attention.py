"""Attention with shared key heads and a mask, without a copy of the keys for each query head.

transformers repeats keys and values for every query head as soon as there is a mask: seven times the cache for
Qwen2.5-Coder-0.5B, at each token. Here the query heads that share a key head become further queries of it instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "submodel_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Transformers' attention interface; without a mask it is transformers' own.

    query: (rows, heads, new tokens, head size); key, value: (rows, key heads, tokens, head size); attention_mask: bool,
    (rows or 1, 1, new tokens, tokens). Returns (rows, new tokens, heads, head size).
    """
    if attention_mask is None:
        output, _ = sdpa_attention_forward(module, query, key, value, None, scaling=scaling, **kwargs)
        return output, None
    rows, heads, new, size = query.shape
    groups = heads // key.shape[1]
    output = scaled_dot_product_attention(
        query.reshape(rows, key.shape[1], groups * new, size),
        key,
        value,
        attn_mask=attention_mask.repeat(1, 1, groups, 1),
        scale=scaling,
    )
    return output.reshape(rows, heads, new, size).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def grouped(model: PreTrainedModel) -> Iterator[None]:
    """Within the block `model` attends this way."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)

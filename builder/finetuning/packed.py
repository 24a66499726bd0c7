"""Sequences of any length as one row, without padding: matrices see all their tokens at once, attention one by one.

A product with 900 rows is a quarter faster than four with 225, and so is what stands between the products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface

from builder.bases.folder_model import head_size
from builder.finetuning.causal_attention import attend, is_faster_here
from builder.finetuning.finetune_settings import FinetuneSettings
from builder.nats import head_nats

BY_TORCH = "submodel_packed"
BY_PRODUCTS = "submodel_packed_products"


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    forward: Callable[..., tuple[torch.Tensor, None]],
    lengths: Sequence[int],
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Transformers' attention interface, causal within each of the sequences that lie one behind the other.

    forward: the attention of one sequence, with the arguments and results of `sdpa_attention_forward`.
    query: (1, heads, tokens, head size); key, value: (1, key heads, tokens, head size); `lengths` add up to the tokens.
    Returns (1, tokens, heads, head size).
    """
    parts = zip(*(torch.split(tensor, list(lengths), dim=2) for tensor in (query, key, value)), strict=True)
    attended = [forward(module, *part, None, scaling=scaling, is_causal=True)[0] for part in parts]
    return torch.cat(attended, dim=1), None


def _by_products(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None,
    is_causal: bool,
) -> tuple[torch.Tensor, None]:
    """One sequence by `attend`, as `sdpa_attention_forward` takes and returns it."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query[0], key[0], value[0], scaling=scale).transpose(0, 1)[None], None


for _name, _forward in ((BY_TORCH, sdpa_attention_forward), (BY_PRODUCTS, _by_products)):
    AttentionInterface.register(_name, partial(packed_attention, forward=_forward))
    AttentionMaskInterface.register(_name, lambda *args, **kwargs: None)


def choose_attention(model: Any, settings: FinetuneSettings) -> str:
    """Return BY_PRODUCTS where `model` is a bf16 one on a processor that attends faster by products, else BY_TORCH.

    With `steps` set it is BY_TORCH, so that no clock decides which model comes out.
    """
    if model.dtype is not torch.bfloat16 or model.device.type != "cpu" or settings.steps is not None:
        return BY_TORCH
    config = model.config
    is_faster = is_faster_here(config.num_attention_heads, config.num_key_value_heads, head_size(config))
    return BY_PRODUCTS if is_faster else BY_TORCH


def packed_nats(model: Any, batch: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Negative log-likelihood of each sequence's tokens but its first, one sequence behind the other, (tokens,).

    `model` attends by BY_TORCH or BY_PRODUCTS (`set_attn_implementation`). Logits are made of those positions only that
    a token follows.
    """
    lengths = [len(ids) for ids in batch]
    tokens = torch.tensor([token for ids in batch for token in ids], device=device)
    positions = torch.cat([torch.arange(length, device=device) for length in lengths])
    hidden = model.get_decoder()(
        input_ids=tokens[None], position_ids=positions[None], lengths=lengths, use_cache=False
    ).last_hidden_state[0]
    asked = (positions > 0).nonzero()[:, 0]  # a sequence's first token has nothing before it
    return head_nats(model, hidden[asked - 1], tokens[asked])

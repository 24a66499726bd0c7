"""Sequences of any length as one row, without padding: matrices see all their tokens at once, attention one by one.

A product with 900 rows is a quarter faster than four with 225, and so is what stands between the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface

NAME = "submodel_packed"
QUERIES = 96  # that attend at once; a block of more computes more that is masked, one of fewer has small products
LOGIT_POSITIONS = 256  # whose logits are in memory at once; fewer make the product with the head slower


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    lengths: Sequence[int],
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Transformers' attention interface, causal within each of the sequences that lie one behind the other.

    query: (1, heads, tokens, head size); key, value: (1, key heads, tokens, head size); `lengths` add up to the tokens.
    Returns (1, tokens, heads, head size).
    """
    parts = zip(*(torch.split(tensor, list(lengths), dim=2) for tensor in (query, key, value)), strict=True)
    if query.dtype is torch.bfloat16 and query.device.type == "cpu":
        return torch.cat([attend_in_blocks(*part, scaling=scaling) for part in parts], dim=1), None
    attended = [sdpa_attention_forward(module, *part, None, scaling=scaling, is_causal=True)[0] for part in parts]
    return torch.cat(attended, dim=1), None


def attend_in_blocks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scaling: float | None = None
) -> torch.Tensor:
    """Causal attention of one sequence, some queries at a time; shapes as in `packed_attention`.

    These are plain products. torch's own kernel takes half as long again in bfloat16 on a processor, twice as long for
    short sequences. Query heads that share a key head are further rows of one product.
    """
    _, heads, length, size = query.shape
    groups = heads // key.shape[1]
    keys, values = key[0].transpose(1, 2), value[0]  # (key heads, head size, tokens), (key heads, tokens, head size)
    scaled = query[0] * (size**-0.5 if scaling is None else scaling)
    blocks = []
    for start in range(0, length, QUERIES):
        end = min(length, start + QUERIES)
        rows = scaled[:, start:end].reshape(-1, groups * (end - start), size)
        scores = (rows @ keys[..., :end]).view(-1, end - start, end)
        later = torch.full((end - start, end - start), -torch.inf, dtype=scores.dtype).triu(1)
        scores[..., start:] += later
        weights = scores.softmax(dim=-1).to(values.dtype).view(-1, groups * (end - start), end)
        blocks.append((weights @ values[:, :end]).view(heads, end - start, size))
    return torch.cat(blocks, dim=1).transpose(0, 1)[None]


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)


def packed_nats(model: Any, batch: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Negative log-likelihood of each sequence's tokens but its first, one sequence behind the other, (tokens,).

    `model` attends by NAME (`set_attn_implementation`). Logits are made of a few positions at a time, and only of those
    that a token follows: a vocabulary's worth of float32 for each position leaves the processor's cache otherwise.
    """
    lengths = [len(ids) for ids in batch]
    tokens = torch.tensor([token for ids in batch for token in ids], device=device)
    positions = torch.cat([torch.arange(length, device=device) for length in lengths])
    hidden = model.get_decoder()(
        input_ids=tokens[None], position_ids=positions[None], lengths=lengths, use_cache=False
    ).last_hidden_state[0]
    head = model.get_output_embeddings()
    asked = (positions > 0).nonzero()[:, 0]  # a sequence's first token has nothing before it
    parts = zip(*(torch.split(one, LOGIT_POSITIONS) for one in (hidden[asked - 1], tokens[asked])), strict=True)
    return torch.cat([cross_entropy(head(part).float(), truths, reduction="none") for part, truths in parts])

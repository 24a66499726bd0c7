"""Causal attention for bfloat16 on a processor, in plain products: half the time of torch's kernel on a Zen 5.

Query heads that share a key head are rows of one product, and a block of queries sees only the keys up to its end. The
probabilities are made again for the gradients, as in FlashAttention (Dao et al., 2022), so that they take no memory
meanwhile. Scores are rounded to bfloat16 before the softmax. Those of Qwen2 reach a thousand, since its keys share a
large bias; so the mean key is taken off first, as in SageAttention (Zhang et al., 2024), which changes no softmax.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from builder.number_format import shortest_seconds

BLOCK = 64  # queries at a time: the scores of more leave the processor's cache
TIMED_TOKENS = 512


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scaling: float) -> torch.Tensor:
    """Return (heads, tokens, size) for query (heads, tokens, size), and key and value (key heads, tokens, size).

    `scaling` multiplies the scores.
    """
    attended: torch.Tensor = _CausalAttention.apply(query, key, value, scaling)  # type: ignore[no-untyped-call]
    return attended


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    @torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]  # all has one type already
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        heads, tokens, size = query.shape
        whole = key.float()
        smaller = (whole - whole.mean(1, keepdim=True)).to(key.dtype)
        query, key, value = map(_padded, (query * scaling, smaller, value))
        grouped = query.view(len(key), heads // len(key), -1, size)
        attended = torch.empty_like(grouped)
        for begin in range(0, tokens, BLOCK):
            rows, end = grouped[:, :, begin : begin + BLOCK], begin + BLOCK
            probabilities = _probabilities(rows, key[:, :end])
            attended[:, :, begin:end] = torch.bmm(probabilities, value[:, :end]).view(rows.shape)
        ctx.save_for_backward(grouped, key, value)
        ctx.scaling, ctx.tokens = scaling, tokens
        return attended.view(query.shape)[:, :tokens]

    @staticmethod
    @torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:
        """The mean key has no gradient: those of a query's scores add up to zero."""
        grouped, key, value = ctx.saved_tensors
        groups, shared, _, size = grouped.shape
        gradients = _padded(gradient).view(grouped.shape)
        of_query = torch.empty_like(grouped)
        of_key, of_value = (torch.zeros_like(one, dtype=torch.float32) for one in (key, value))
        for begin in range(0, ctx.tokens, BLOCK):
            rows, end = grouped[:, :, begin : begin + BLOCK], begin + BLOCK
            probabilities = _probabilities(rows, key[:, :end])
            of_rows = gradients[:, :, begin:end].reshape(groups, -1, size)
            of_value[:, :end] += torch.bmm(probabilities.transpose(1, 2), of_rows)
            of_probabilities = torch.bmm(of_rows, value[:, :end].transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_probabilities, probabilities, -1, probabilities.dtype)
            of_key[:, :end] += torch.bmm(of_scores.transpose(1, 2), rows.reshape(groups, -1, size))
            of_query[:, :, begin:end] = torch.bmm(of_scores, key[:, :end]).view(rows.shape)
        of_query = (of_query * ctx.scaling).view(groups * shared, -1, size)[:, : ctx.tokens]
        return of_query, of_key[:, : ctx.tokens].to(key.dtype), of_value[:, : ctx.tokens].to(value.dtype), None


def _padded(rows: torch.Tensor) -> torch.Tensor:
    """`rows` (heads, tokens, size) in one piece, and zeros up to a multiple of BLOCK tokens, which no query sees.

    So products have few shapes: oneDNN makes a kernel for each, which takes as long as the product (`builder.memory`).
    """
    return pad(rows, (0, 0, 0, -rows.shape[1] % BLOCK)).contiguous()


def _probabilities(rows: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """What each query weighs each key by, (key heads, queries of all its heads, keys).

    rows: (key heads, query heads of each, queries, size). key: (key heads, keys, size), of the positions up to the last
    of these queries.
    """
    groups, shared, count, size = rows.shape
    scores = torch.bmm(rows.reshape(groups, -1, size), key.transpose(1, 2))
    later = torch.ones((count, count), dtype=torch.bool).triu(1)
    scores.view(groups, shared, count, -1)[..., -count:].masked_fill_(later, float("-inf"))
    return torch.softmax(scores, -1)


def is_faster_here(heads: int, key_heads: int, size: int) -> bool:
    """Whether `attend` is clearly faster than torch's kernel on this processor, with its gradients."""
    query, key, value = (
        torch.randn(count, TIMED_TOKENS, size).bfloat16().requires_grad_() for count in (heads, key_heads, key_heads)
    )

    def by_torch() -> torch.Tensor:
        keys, values = (one.repeat_interleave(heads // key_heads, 0)[None] for one in (key, value))
        return scaled_dot_product_attention(query[None], keys, values, is_causal=True)

    def seconds(run: Callable[[], torch.Tensor]) -> float:
        return shortest_seconds(lambda: run().sum().backward(), rounds=3)  # type: ignore[no-untyped-call]

    return seconds(partial(attend, query, key, value, scaling=size**-0.5)) < 0.8 * seconds(by_torch)

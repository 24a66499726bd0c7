"""Negative log-likelihoods. Without gradients the logits of few positions are in memory at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy

LOGIT_POSITIONS = 256  # whose logits are in memory at once; fewer make the product with the head slower


def head_nats(model: Any, hidden: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of `truths` (tokens,) after the hidden states (tokens, hidden) before each, (tokens,).

    Logits are taken to float32, of a few positions at a time: a vocabulary's worth of float32 for each position leaves
    the processor's cache, and of a base with 150,000 tokens takes gigabytes. With gradients torch keeps all of them.
    """
    return nats_by_parts(model.get_output_embeddings(), hidden, truths)


def nats_by_parts(
    to_logits: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, truths: torch.Tensor
) -> torch.Tensor:
    """Negative log-likelihood of `truths` (tokens,), as many as `rows`, a few at a time: softmax copies the logits."""
    parts = zip(*(torch.split(one, LOGIT_POSITIONS) for one in (rows, truths)), strict=True)
    nats = [cross_entropy(to_logits(part).float(), part_truths, reduction="none") for part, part_truths in parts]
    return torch.cat(nats)

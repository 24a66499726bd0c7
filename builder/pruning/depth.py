"""Whole layers: which of them code misses least, and a model without them.

A layer's worth is what the model's predictions lose without it: the Kullback-Leibler divergence of its next tokens from
the whole model's, in nats a token. Cosine similarity of a layer's input and output, which others use (Men et al.,
ShortGPT, 2024), does not see what later layers make of the difference. Layers are dropped one after the other, each
time the one whose loss costs least given those that are gone (greedy, as Kim et al., Shortened LLaMA, 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

Tensor = torch.Tensor
Block = Any  # a decoder layer of transformers: torch types every part of a module as Tensor | Module


@dataclass(frozen=True, kw_only=True)
class DroppedLayer:
    """`layer` counts in the whole model; `divergence`: nats a token, with it and those before it gone."""

    layer: int
    divergence: float


@torch.no_grad()
def choose_layers(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    count: int,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[DroppedLayer, ...]:
    """Choose `count` layers to drop, judged on `sequences` (token ids, unpadded); the model is not changed.

    Memory: float32 log-probabilities of all tokens, (tokens, vocabulary); some 1,000 tokens tell layers apart.
    """
    texts = [_Text(model, ids) for ids in sequences]
    tokens = sum(len(ids) for ids in sequences)
    kept = list(range(len(model.model.layers)))
    chosen: list[DroppedLayer] = []
    total = sum(len(kept) - i for i in range(count))
    done = 0
    for _ in range(count):
        entries = [text.entries(kept) for text in texts]  # each text's states before each kept layer
        best: DroppedLayer | None = None
        for place, layer in enumerate(kept):
            nats = sum(
                text.divergence(states[place], kept[place + 1 :]) for text, states in zip(texts, entries, strict=True)
            )
            if best is None or nats / tokens < best.divergence:
                best = DroppedLayer(layer=layer, divergence=nats / tokens)
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        assert best is not None
        chosen.append(best)
        kept.remove(best.layer)
    return tuple(chosen)


def drop_layers(model: PreTrainedModel, layers: Sequence[int]) -> None:
    """Remove the layers from the model, in place."""
    gone = frozenset(layers)
    kept = [layer for index, layer in enumerate(model.model.layers) if index not in gone]
    for index, layer in enumerate(kept):
        layer.self_attn.layer_idx = index  # its place in the KV cache
    model.model.layers = nn.ModuleList(kept)
    config = model.config
    config.num_hidden_layers = len(kept)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = [kind for index, kind in enumerate(config.layer_types) if index not in gone]


class _Text:
    """One sequence, and what the whole model predicts after each of its tokens."""

    def __init__(self, model: PreTrainedModel, ids: Sequence[int]) -> None:
        self._model = model
        self._embedded: Tensor = model.model.embed_tokens(torch.tensor([list(ids)]))
        self._rotary = model.model.rotary_emb(self._embedded, torch.arange(len(ids))[None])
        self._truth = self._predictions(self._run(self._embedded, range(len(model.model.layers))))

    def entries(self, layers: Sequence[int]) -> list[Tensor]:
        """The hidden states before each of `layers`, run one after the other."""
        states = [self._embedded]
        for layer in layers[:-1]:
            states.append(self._run(states[-1], [layer]))
        return states

    def divergence(self, state: Tensor, layers: Sequence[int]) -> float:
        """KL(whole model ‖ `layers` from `state` on), summed over tokens, nats."""
        predictions = self._predictions(self._run(state, layers))
        return float((self._truth.exp() * (self._truth - predictions)).sum())

    def _run(self, state: Tensor, layers: Sequence[int]) -> Tensor:
        blocks: Block = self._model.model.layers
        for layer in layers:
            output = blocks[layer](state, attention_mask=None, position_embeddings=self._rotary)
            state = output[0] if isinstance(output, tuple) else output
        return state

    def _predictions(self, state: Tensor) -> Tensor:
        """Log-probabilities, (tokens, vocabulary) float32."""
        logits: Tensor = self._model.lm_head(self._model.model.norm(state))[0]
        return logits.float().log_softmax(dim=-1)

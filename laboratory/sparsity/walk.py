"""The pass over the layers: each is measured on the outputs of the pruned ones before it, then pruned itself.

Within a layer all matrices are measured on the dense layer, as Wanda and SparseGPT do. The next layer gets the pruned
outputs. Memory beyond the model is the calibration tokens' hidden states and one layer's statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn
from transformers import PreTrainedModel

from builder.pruning.streams import Block, Stream, attend, open_stream
from contract.progress import OnProgress, no_progress
from laboratory.sparsity.activation_statistics import InputStatistics, StatisticsCollector
from laboratory.sparsity.masks import Target
from laboratory.sparsity.methods import SparsitySettings, find_method

Tensor = torch.Tensor

# The matrices of a layer; those that read the same inputs stand together.
SITES: Final[tuple[tuple[str, ...], ...]] = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
MATRICES: Final[tuple[str, ...]] = tuple(name for site in SITES for name in site)


@dataclass(frozen=True, kw_only=True)
class SparseLayer:
    """The masks of one layer, and what they cost."""

    kept: Mapping[str, Tensor]  # by a name of MATRICES: bool, (outputs, inputs)
    # ‖f(x) − f'(x)‖² / ‖f(x) − x‖² over calibration tokens, f the dense layer and f' the pruned one: the share of what
    # the layer adds to the residual that is lost.
    output_error: float


@torch.no_grad()
def sparsify_layers(
    model: PreTrainedModel,
    calibration: Sequence[Sequence[int]],
    settings: SparsitySettings,
    *,
    on_layer: OnProgress = no_progress,
) -> tuple[SparseLayer, ...]:
    """Prune the seven matrices of every layer of `model`, in place; return the masks of each layer.

    calibration: token ids, unpadded; on_layer(done, layers) is called after each layer.
    Raises BuildError if the statistics can't be used.
    """
    method = find_method(settings.method)
    layers = model.model.layers
    target = Target(sparsity=settings.sparsity)
    stream = open_stream(model, calibration)
    made: list[SparseLayer] = []
    for index, layer in enumerate(layers):
        with _statistics_of(layer, with_gram=method.needs_gram) as finish:
            dense = _run(layer, stream)
        kept: dict[str, Tensor] = {}
        for names, statistics in finish():
            for name in names:
                matrix = layer.get_submodule(name)
                pruned = method.prune(matrix.weight, statistics, target)
                matrix.weight.copy_(pruned.weight)
                kept[name] = pruned.kept
        outputs = _run(layer, stream)
        made.append(SparseLayer(kept=kept, output_error=_share_lost(stream.states, dense, outputs)))
        stream.states = outputs
        on_layer(index + 1, len(layers))
    return tuple(made)


@contextmanager
def _statistics_of(
    layer: Block, *, with_gram: bool
) -> Iterator[Callable[[], list[tuple[tuple[str, ...], InputStatistics]]]]:
    """Gather the inputs of the layer's matrices while the block runs the layer; the result returns them by site."""
    collectors = {site: StatisticsCollector(with_gram=with_gram) for site in SITES}

    def listen(collector: StatisticsCollector) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: collector.add(inputs[0].flatten(0, -2))

    handles = [
        layer.get_submodule(site[0]).register_forward_pre_hook(listen(collector))
        for site, collector in collectors.items()
    ]
    try:
        yield lambda: [(site, collector.finish()) for site, collector in collectors.items()]
    finally:
        for handle in handles:
            handle.remove()


def _run(layer: Block, stream: Stream) -> list[Tensor]:
    """Return the outputs of one layer for each sequence; the stream is not changed."""
    return [
        _feed_forward(layer, attend(layer, state, rotary))
        for state, rotary in zip(stream.states, stream.rotary, strict=True)
    ]


def _feed_forward(layer: Block, state: Tensor) -> Tensor:
    """Return a sequence moved past the layer's feed-forward part; state: (1, tokens, hidden), behind its attention."""
    dtype = layer.mlp.down_proj.weight.dtype
    added: Tensor = layer.mlp(layer.post_attention_layernorm(state).to(dtype))
    return state + added


def _share_lost(inputs: Sequence[Tensor], dense: Sequence[Tensor], pruned: Sequence[Tensor]) -> float:
    lost = sum(float((one - other).square().sum()) for one, other in zip(dense, pruned, strict=True))
    added = sum(float((one - before).square().sum()) for one, before in zip(dense, inputs, strict=True))
    return lost / added if added > 0.0 else 0.0

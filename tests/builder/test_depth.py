"""Layers are chosen by what predictions lose, against whole forward passes of a model without them."""

import copy

import pytest
import torch

from builder.pruning.depth import choose_layers, drop_layers
from testbed.models import make_model

SEQUENCES = ((5, 9, 70, 3, 44, 12), (8, 8, 61, 30))


def deep_model(kind="qwen2"):
    model = make_model(90, kind=kind, layers=4)
    for index, layer in enumerate(model.model.layers):  # so that each layer weighs otherwise
        layer.mlp.down_proj.weight.data *= 1 + 3 * ((index * 7) % 4)
    return model


def naive_divergence(whole, part):
    nats = 0.0
    for ids in SEQUENCES:
        p, q = (model(torch.tensor([ids])).logits[0].log_softmax(dim=-1) for model in (whole, part))
        nats += float((p.exp() * (p - q)).sum())
    return nats / sum(map(len, SEQUENCES))


def without(model, layers):
    part = copy.deepcopy(model)
    drop_layers(part, layers)
    return part


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_the_choice_is_the_naive_greedy_one(kind):
    model = deep_model(kind)
    gone = []
    for dropped in choose_layers(model, SEQUENCES, 2):
        naive = {
            layer: naive_divergence(model, without(model, [*gone, layer])) for layer in range(4) if layer not in gone
        }
        assert dropped.layer == min(naive, key=lambda layer: naive[layer])
        assert dropped.divergence == pytest.approx(naive[dropped.layer], abs=1e-5)
        gone.append(dropped.layer)


def test_a_layer_that_does_nothing_goes_first():
    model = deep_model()
    idle = model.model.layers[2]
    idle.self_attn.o_proj.weight.data.zero_()
    idle.mlp.down_proj.weight.data.zero_()
    (dropped,) = choose_layers(model, SEQUENCES, 1)
    assert dropped.layer == 2
    assert dropped.divergence == pytest.approx(0.0, abs=1e-6)


def test_a_model_without_layers_is_a_plain_smaller_model():
    model = deep_model()
    part = without(model, [1, 2])
    assert part.config.num_hidden_layers == len(part.model.layers) == 2
    again = type(part)(part.config)
    again.load_state_dict(part.state_dict())
    ids = torch.tensor([SEQUENCES[0]])
    torch.testing.assert_close(again(ids).logits, part(ids).logits)
    # The KV cache has a place for each layer that is left.
    cached = part(ids[:, :4], use_cache=True)
    step = part(ids[:, 4:], past_key_values=cached.past_key_values, use_cache=True)
    torch.testing.assert_close(step.logits, part(ids).logits[:, 4:])

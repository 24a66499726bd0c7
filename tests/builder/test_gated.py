"""The gated part of feed-forward layers: what it gives and what a step keeps, beside transformers' own."""

from contextlib import nullcontext

import pytest
import torch

from builder.finetuning.gated import gated_in_half
from testbed.models import make_model

TOKENS = torch.arange(40)[None] % 30


def loss_and_gradients(model, context):
    kept = []
    with context, torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda one: one):
        loss = model(input_ids=TOKENS, labels=TOKENS).loss
    loss.backward()
    gradients = {name: one.grad.clone() for name, one in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return float(loss.detach()), gradients, kept


def test_losses_and_gradients_are_those_of_torch_and_less_is_kept():
    torch.manual_seed(0)
    model = make_model(40, spread=0.1).requires_grad_(True)
    exact_loss, exact, all_kept = loss_and_gradients(model, nullcontext())
    loss, gradients, kept = loss_and_gradients(model, gated_in_half(model))
    assert loss == pytest.approx(exact_loss, rel=1e-6), "bfloat16 is for the way back alone"
    for name, gradient in gradients.items():
        cosine = torch.nn.functional.cosine_similarity(gradient.flatten(), exact[name].flatten(), dim=0)
        assert cosine > 0.999, name
        assert gradient.norm() == pytest.approx(float(exact[name].norm()), rel=0.01), name
    wide = (1, TOKENS.shape[1], model.config.intermediate_size)

    def bytes_of(tensors):
        different = {one.data_ptr(): one for one in tensors if one.shape == wide}
        return sum(one.nbytes for one in different.values())

    layers, values = len(model.get_decoder().layers), torch.Size(wide).numel()
    assert bytes_of(kept) == layers * values * 2 * 2, "two values of two bytes"
    assert bytes_of(all_kept) == layers * values * 3 * 4, "three of four"


def test_afterwards_and_with_another_activation_the_model_is_as_before():
    model = make_model(40)
    for mlp in (layer.mlp for layer in model.get_decoder().layers):
        with gated_in_half(model):
            assert "forward" in vars(mlp)
        assert "forward" not in vars(mlp)
    model.config.hidden_act = "gelu"
    with gated_in_half(model):
        assert not any("forward" in vars(layer.mlp) for layer in model.get_decoder().layers)

"""The pass over the layers: what each matrix is measured on, and what then stands in the model."""

import pytest
import torch

from contract.errors import BuildError
from laboratory.sparsity.masks import wanda_scores
from laboratory.sparsity.methods import SparsitySettings
from laboratory.sparsity.walk import MATRICES, sparsify_layers
from testbed.models import make_model
from tests.builder.test_layers import sequences

pytestmark = pytest.mark.slow  # whole models are pruned


def inputs_of(model, layer, texts):
    """Inputs of the layer's seven matrices as transformers' own forward pass gives them, (tokens, channels)."""
    captured = {name: [] for name in MATRICES}
    handles = [
        model.model.layers[layer]
        .get_submodule(name)
        .register_forward_pre_hook(lambda _, args, name=name: captured[name].append(args[0][0]))
        for name in MATRICES
    ]
    for ids in texts:
        model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return {name: torch.cat(rows) for name, rows in captured.items()}


def naive_wanda(model, layer, texts, sparsity):
    masks = {}
    for name, rows in inputs_of(model, layer, texts).items():
        weight = model.model.layers[layer].get_submodule(name).weight
        scores = wanda_scores(weight, rows.square().sum(dim=0))
        order = scores.argsort(dim=1)
        masks[name] = torch.ones_like(weight, dtype=torch.bool)
        masks[name].scatter_(1, order[:, : int(sparsity * weight.shape[1] + 0.5)], False)
    return masks


def agreement(masks, others):
    return min(float((masks[name] == others[name]).float().mean()) for name in MATRICES)


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_each_layer_is_measured_on_the_outputs_of_the_pruned_ones_before_it(kind):
    texts = sequences(20, 1)
    model, dense = make_model(300, kind=kind), make_model(300, kind=kind)
    for parameter in (*model.parameters(), *dense.parameters()):
        parameter.data *= 8  # strong layers, so that pruning one shows in the next
    made = sparsify_layers(model, texts, SparsitySettings(sparsity=0.6))
    assert agreement(made[0].kept, naive_wanda(dense, 0, texts, 0.6)) > 0.999
    fed_with_dense = naive_wanda(dense, 1, texts, 0.6)
    pruned_first = make_model(300, kind=kind)
    for parameter in pruned_first.parameters():
        parameter.data *= 8
    for name in MATRICES:
        pruned_first.model.layers[0].get_submodule(name).weight.mul_(made[0].kept[name])
    fed_with_pruned = naive_wanda(pruned_first, 1, texts, 0.6)
    assert agreement(made[1].kept, fed_with_pruned) > 0.999
    assert agreement(made[1].kept, fed_with_dense) < 0.99  # the two are told apart


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_all_seven_matrices_become_sparse_and_nothing_else_changes(method):
    model, dense = make_model(300), make_model(300)
    seen = []
    made = sparsify_layers(
        model,
        sequences(20, 1),
        SparsitySettings(method=method),
        on_layer=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 2), (2, 2)]
    before, after = dense.state_dict(), model.state_dict()
    for name, weight in after.items():
        if not any(name.endswith(f"{matrix}.weight") for matrix in MATRICES):
            assert torch.equal(weight, before[name]), name
    for index, layer in enumerate(made):
        assert set(layer.kept) == set(MATRICES)
        assert 0 < layer.output_error < 1.5
        for name, kept in layer.kept.items():
            weight = model.model.layers[index].get_submodule(name).weight
            assert ((~kept).sum(dim=1) == kept.shape[1] // 2).all()
            assert (weight[~kept] == 0).all()


def test_the_error_is_that_of_the_whole_layer():
    model, dense = make_model(300), make_model(300)
    texts = sequences(6, 3)
    made = sparsify_layers(model, texts, SparsitySettings(sparsity=0.5))
    lost = added = 0.0
    for ids in texts:
        before, truth = dense(torch.tensor([ids]), output_hidden_states=True).hidden_states[:2]
        ours = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[1]
        lost += float((truth - ours).square().sum())
        added += float((truth - before).square().sum())
    assert made[0].output_error == pytest.approx(lost / added, rel=1e-3)


def test_settings_that_cannot_be_are_reported():
    for wrong, words in (
        ({"sparsity": 0.0}, "prunes nothing"),
        ({"sparsity": 1.0}, "below 1"),
        ({"method": "lottery"}, "wanda"),
    ):
        with pytest.raises(BuildError, match=words):
            SparsitySettings(**wrong)

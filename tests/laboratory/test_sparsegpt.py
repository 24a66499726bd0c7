"""SparseGPT against optimal brain surgery a column at a time, each time with a fresh inverse of the Hessian."""

import pytest
import torch

from laboratory.sparsity.masks import Target
from laboratory.sparsity.methods import METHODS
from laboratory.sparsity.sparsegpt import prune_sparsegpt
from tests.laboratory.test_masks import statistics_of


def correlated_inputs(tokens, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    few = torch.randn(tokens, channels // 3, generator=generator)
    mixed = few @ torch.randn(channels // 3, channels, generator=generator)
    return mixed + 0.3 * torch.randn(tokens, channels, generator=generator)


def naive_sparsegpt(weight, gram, target, block):
    """Equation 3 of the paper, a row and a column at a time, in float64; a hundredth of the diagonal is added."""
    size = weight.shape[1]
    gram = gram.double()
    hessian = gram + 0.01 * gram.diagonal().mean() * torch.eye(size, dtype=torch.float64)
    inverses = [torch.linalg.inv(hessian[j:, j:]) for j in range(size)]
    weight = weight.double().clone()
    kept = torch.ones_like(weight, dtype=torch.bool)
    for i in range(weight.shape[0]):
        for j in range(size):
            if j % block == 0:
                end = min(j + block, size)
                zeros = int(target.sparsity * end + 0.5) - int(target.sparsity * j + 0.5)
                costs = sorted((float(weight[i, k] ** 2 / inverses[k][0, 0]), k) for k in range(j, end))
                for _, k in costs[:zeros]:
                    kept[i, k] = False
            if not kept[i, j]:
                inverse = inverses[j]
                weight[i, j:] -= weight[i, j] / inverse[0, 0] * inverse[0]
                weight[i, j] = 0.0
    return kept, weight


@pytest.mark.parametrize("block", [24, 8, 7])
@pytest.mark.parametrize("target", [Target(sparsity=0.5), Target(sparsity=0.3)])
def test_masks_and_weights_are_those_of_the_naive_one(target, block):
    weight = torch.randn(6, 24, generator=torch.Generator().manual_seed(3))
    gram = statistics_of(correlated_inputs(200, 24), with_gram=True).gram
    kept, updated = prune_sparsegpt(weight, gram, target, block=block)
    true_kept, true_updated = naive_sparsegpt(weight, gram, target, block)
    assert torch.equal(kept, true_kept)
    torch.testing.assert_close(updated, true_updated.float(), rtol=1e-3, atol=1e-3)
    assert (updated[~kept] == 0).all()


def test_on_correlated_inputs_it_loses_less_than_wanda_and_wanda_less_than_magnitude():
    """Squared output error, on tokens that no method has seen."""
    generator = torch.Generator().manual_seed(5)
    scale = torch.rand(96, generator=generator) * 3  # channels of unequal strength, or Wanda would be magnitude
    seen, unseen = correlated_inputs(3000, 96).mul(scale).split(1500)
    weight = torch.randn(40, 96, generator=generator)
    errors = {}
    for name, method in METHODS.items():
        pruned = method.prune(weight, statistics_of(seen, with_gram=True), Target(sparsity=0.5))
        errors[name] = float((unseen @ (weight - pruned.weight).T).square().sum())
    assert errors["sparsegpt"] < 0.7 * errors["wanda"]
    assert errors["wanda"] < errors["magnitude"]


def test_inputs_that_never_fire_break_nothing():
    generator = torch.Generator().manual_seed(8)
    weight = torch.randn(4, 16, generator=generator)
    weight += 0.5 * weight.sign()  # none is next to zero, which would cost nothing either
    inputs = torch.randn(40, 16, generator=generator)
    inputs[:, 3] = 0.0
    kept, updated = prune_sparsegpt(weight, inputs.T @ inputs, Target(sparsity=0.25))
    assert not kept[:, 3].any()  # zeros there cost nothing
    assert updated.isfinite().all()
    _, untouched = prune_sparsegpt(weight, torch.zeros(16, 16), Target(sparsity=0.25))
    assert torch.equal(untouched[untouched != 0], weight[untouched != 0])


def test_a_few_massive_inputs_break_nothing():
    """The first token of a sequence is hundreds of times as strong as the others: the Gram matrix is near singular."""
    inputs = correlated_inputs(400, 300)
    inputs[::50, :4] += 3000.0
    weight = torch.randn(5, 300, generator=torch.Generator().manual_seed(6))
    target = Target(sparsity=0.5)
    gram = inputs.T @ inputs
    kept, updated = prune_sparsegpt(weight, gram, target, block=100)
    true_kept, true_updated = naive_sparsegpt(weight, gram, target, 100)
    assert float((kept == true_kept).float().mean()) > 0.99
    error, true_error = (float(((weight - one) @ inputs.T).square().sum()) for one in (updated, true_updated.float()))
    assert error == pytest.approx(true_error, rel=0.02)

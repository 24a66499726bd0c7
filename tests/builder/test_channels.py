"""The formulas of the channel choice against naive ones."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.pruning import channels as channels_module
from builder.pruning.channels import (
    choose_channels,
    eliminate,
    gram_matrix,
    gram_matrix_in_8_bits,
    output_error,
    regularized,
)
from contract.errors import BuildError


def refit(weight, hessian, channels):
    """W' = W H[:,P] H_PP⁻¹, the least-squares weight over the kept channels; (outputs, |P|) float32."""
    factor = torch.linalg.cholesky(hessian[channels][:, channels])
    return torch.cholesky_solve((weight.float() @ hessian[:, channels]).T, factor).T


def make_problem(seed: int, tokens: int = 200, channels: int = 12, outputs: int = 5):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=generator)
    activations = torch.randn(tokens, channels, generator=generator) @ mixing
    weight = torch.randn(outputs, channels, generator=generator)
    return weight, activations


def squared_error(weight, channels, new_weight, activations):
    return float((activations @ weight.T - activations[:, channels] @ new_weight.T).square().sum())


@pytest.mark.slow
@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_gram_matrix_is_the_plain_product_whatever_the_chunks(seed, chunk, blocks):
    _, activations = make_problem(seed, tokens=50)
    gram = gram_matrix(activations, chunk_tokens=chunk, blocks=blocks)
    torch.testing.assert_close(gram, activations.T @ activations, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gram_matrix_in_8_bits_is_close_and_as_positive(dtype, monkeypatch):
    monkeypatch.setattr(channels_module, "MOST_SUMMED", 64)
    _, activations = make_problem(3, tokens=300, channels=24)
    activations = (activations * torch.logspace(-3, 3, 24)).to(dtype)  # channels of very different sizes
    activations[:, 5] = 0.0
    exact, close = gram_matrix(activations.float()), gram_matrix_in_8_bits(activations)
    scale = exact.diagonal().sqrt().clamp(min=1e-30)
    assert (((close - exact) / scale).div(scale[:, None])).abs().max() < 0.02
    assert torch.equal(close, close.T)
    torch.linalg.cholesky(regularized(close, 1e-4))


def test_a_huge_ridge_leaves_the_old_weight():
    weight, activations = make_problem(2)
    channels = torch.tensor([1, 2, 5])
    found = refit(weight, regularized(gram_matrix(activations), 1e9), channels)
    torch.testing.assert_close(found, weight[:, channels], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@given(st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_one_eliminated_channel_is_the_one_that_costs_least(seed):
    """With a block of one and one channel to go, elimination must find the best subset of all."""
    weight, activations = make_problem(seed, channels=7)
    hessian = regularized(gram_matrix(activations), 1e-6)
    found = eliminate(weight, hessian, 6, block=1)[0]
    errors = {
        subset: squared_error(weight, list(subset), refit(weight, hessian, torch.tensor(subset)), activations)
        for subset in itertools.combinations(range(7), 6)
    }
    assert errors[tuple(found.tolist())] <= min(errors.values()) * (1 + 1e-3)


@pytest.mark.slow
@given(st.integers(0, 200), st.integers(1, 12))
@settings(max_examples=20, deadline=None)
def test_elimination_ends_in_the_refit_of_what_it_keeps(seed, block):
    weight, activations = make_problem(seed)
    hessian = regularized(gram_matrix(activations), 1e-2)
    channels, new_weight = eliminate(weight, hessian, 5, block=block)
    torch.testing.assert_close(new_weight, refit(weight, hessian, channels), rtol=1e-2, atol=1e-3)


def test_elimination_beats_energy_where_two_channels_say_the_same():
    """Twins have the highest energy; keeping both wastes a place, since one can stand for the other."""
    generator = torch.Generator().manual_seed(3)
    activations = torch.randn(500, 4, generator=generator)
    activations[:, 0] *= 10
    activations[:, 1] = activations[:, 0] + 0.01 * torch.randn(500, generator=generator)
    weight = torch.ones(1, 4)
    gram = gram_matrix(activations)
    energies = weight.square().sum(dim=0) * gram.diagonal()
    assert set(energies.topk(2).indices.tolist()) == {0, 1}
    kept = eliminate(weight, regularized(gram, 1e-6), 2, block=1)[0].tolist()
    assert len({0, 1} & set(kept)) == 1


def test_the_ridge_is_chosen_on_validation():
    """Fewer tokens than channels: a small ridge fits the calibration tokens and fails on others."""
    generator = torch.Generator().manual_seed(4)
    mixing = torch.randn(64, 64, generator=generator)
    few = torch.randn(40, 64, generator=generator) @ mixing
    many = torch.randn(2000, 64, generator=generator) @ mixing
    weight = torch.randn(8, 64, generator=generator)
    ridges = (1e-6, 1e-1, 1e3)
    choice = choose_channels(weight, few, many, 32, ridges=ridges)
    errors = {
        ridge: output_error(
            weight, choice.channels, refit(weight, regularized(gram_matrix(few), ridge), choice.channels), many
        )
        for ridge in ridges
    }
    assert choice.ridge == min(errors, key=errors.__getitem__)
    assert choice.ridge != 1e-6
    assert choice.output_error == pytest.approx(errors[choice.ridge], rel=1e-3)


def test_a_layer_that_never_fires_is_pruned_without_trouble():
    silent = torch.zeros(10, 6)
    choice = choose_channels(torch.ones(3, 6), silent, silent, 4, ridges=(1e-2,))
    assert choice.weight.shape == (3, 4)
    assert torch.isfinite(choice.weight).all()


@pytest.mark.parametrize("keep", [0, 13])
def test_impossible_widths_are_refused(keep):
    weight, activations = make_problem(5)
    with pytest.raises(BuildError, match="choose a width"):
        eliminate(weight, regularized(gram_matrix(activations), 1e-2), keep)


@pytest.mark.parametrize("is_int8", [False, True])
@pytest.mark.parametrize("part", [0, 1], ids=["calibration", "validation"])
def test_a_base_whose_numbers_are_not_finite_is_said_to_be_so(is_int8, part):
    weight, activations = make_problem(6)
    parts = [activations, activations.clone()]
    parts[part][3, 2] = float("nan")
    with pytest.raises(BuildError, match="not finite; take another base"):
        choose_channels(weight, parts[0], parts[1], 6, ridges=(1e-1,), is_int8=is_int8)


def test_a_refit_that_overflows_is_no_candidate(monkeypatch):
    weight, activations = make_problem(6)
    errors = iter([float("nan"), 0.5, float("inf")])
    monkeypatch.setattr(channels_module, "output_error", lambda *_: next(errors))
    assert choose_channels(weight, activations, activations, 6, ridges=(1.0, 2.0, 3.0)).ridge == 2.0


def test_a_ridge_too_small_to_invert_is_no_candidate():
    weight, activations = make_problem(6, tokens=3)  # rank 3 of 12
    choice = choose_channels(weight, activations, activations, 6, ridges=(0.0, 1e-1))
    assert choice.ridge == 1e-1
    choice = choose_channels(weight, activations, activations, 6, ridges=(0.0,), larger=(1e-1, 1e9))
    assert choice.ridge == 1e-1
    assert choose_channels(weight, activations, activations, 6, ridges=(1e3,), larger=(1e9,)).ridge == 1e3
    with pytest.raises(BuildError, match=r"can't be inverted with a ridge of 0, -0\.001;"):
        choose_channels(weight, activations, activations, 6, ridges=(0.0,), larger=(-1e-3,))
    with pytest.raises(BuildError, match="can't be inverted"):
        choose_channels(weight, activations, activations, 6, ridges=(-1e-3,))

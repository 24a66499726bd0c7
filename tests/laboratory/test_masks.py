"""Scores and masks against loops over single weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BuildError
from laboratory.sparsity.activation_statistics import StatisticsCollector
from laboratory.sparsity.masks import Target, choose_kept
from laboratory.sparsity.methods import METHODS


def statistics_of(inputs, *, with_gram=False, batches=3, chunk_tokens=4096):
    collector = StatisticsCollector(with_gram=with_gram, chunk_tokens=chunk_tokens)
    for batch in inputs.tensor_split(batches):
        collector.add(batch)
    return collector.finish()


def naive_kept(weight, inputs, zeros, *, uses_inputs):
    """The papers' rule, a weight at a time: of each row the lowest scores go."""
    kept = [[True] * weight.shape[1] for _ in range(weight.shape[0])]
    for i, row in enumerate(weight.tolist()):
        scores = []
        for j, value in enumerate(row):
            norm = sum(float(x) ** 2 for x in inputs[:, j]) ** 0.5 if uses_inputs else 1.0
            scores.append((abs(value) * norm, j))
        for _, j in sorted(scores)[:zeros]:
            kept[i][j] = False
    return torch.tensor(kept)


@pytest.mark.parametrize("method", ["magnitude", "wanda"])
def test_masks_are_those_of_loops_over_single_weights(method):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(10, 24, generator=generator)
    inputs = torch.randn(50, 24, generator=generator) * torch.rand(24, generator=generator) * 5
    pruned = METHODS[method].prune(weight, statistics_of(inputs), Target(sparsity=7 / 24))
    truth = naive_kept(weight, inputs, 7, uses_inputs=method == "wanda")
    assert torch.equal(pruned.kept, truth)
    assert torch.equal(pruned.weight, torch.where(truth, weight, 0.0))


@given(st.integers(1, 6), st.integers(1, 40), st.floats(0, 0.99), st.integers(0, 99))
def test_sparsity_is_exact_in_every_row(rows, columns, sparsity, seed):
    scores = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)).round(decimals=1)  # with ties
    zeros = (~choose_kept(scores, Target(sparsity=sparsity))).sum(dim=1)
    assert set(zeros.tolist()) == {int(sparsity * columns + 0.5)}


def test_statistics_are_sums_over_tokens_however_they_come():
    inputs = torch.randn(57, 16, generator=torch.Generator().manual_seed(2))
    whole = statistics_of(inputs, with_gram=True, batches=1)
    parts = statistics_of(inputs, with_gram=True, batches=9, chunk_tokens=20)
    assert whole.tokens == parts.tokens == 57
    truth = sum(torch.outer(row, row) for row in inputs)
    for statistics in (whole, parts):
        torch.testing.assert_close(statistics.gram, truth, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(statistics.squares, truth.diagonal(), rtol=1e-4, atol=1e-4)
    with pytest.raises(BuildError, match="no calibration token"):
        StatisticsCollector(with_gram=False).finish()

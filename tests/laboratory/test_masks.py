"""Scores and masks against loops over single weights."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BuildError
from laboratory.sparsity.activation_statistics import StatisticsCollector
from laboratory.sparsity.layer_ratios import outlier_share, spread_sparsity
from laboratory.sparsity.masks import choose_kept, keep_highest_in_groups, magnitude_scores
from laboratory.sparsity.methods import METHODS, find_method
from laboratory.sparsity.pattern import GroupPattern, Target, parse_pattern


def statistics_of(inputs, *, with_gram=False, batches=3, chunk_tokens=4096):
    collector = StatisticsCollector(with_gram=with_gram, chunk_tokens=chunk_tokens)
    for batch in inputs.tensor_split(batches):
        collector.add(batch)
    return collector.finish()


def naive_kept(weight, inputs, zeros, group, *, uses_inputs):
    """The papers' rule, a weight at a time: of each group of a row the lowest scores go."""
    kept = [[True] * weight.shape[1] for _ in range(weight.shape[0])]
    for i, row in enumerate(weight.tolist()):
        for start in range(0, len(row), group):
            scores = []
            for j in range(start, start + group):
                norm = sum(float(x) ** 2 for x in inputs[:, j]) ** 0.5 if uses_inputs else 1.0
                scores.append((abs(row[j]) * norm, j))
            for _, j in sorted(scores)[:zeros]:
                kept[i][j] = False
    return torch.tensor(kept)


@pytest.mark.parametrize("method", ["magnitude", "wanda"])
@pytest.mark.parametrize(("pattern", "zeros", "group"), [(None, 7, 24), ("2:4", 2, 4), ("4:8", 4, 8), ("1:4", 1, 4)])
def test_masks_are_those_of_loops_over_single_weights(method, pattern, zeros, group):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(10, 24, generator=generator)
    inputs = torch.randn(50, 24, generator=generator) * torch.rand(24, generator=generator) * 5
    groups = parse_pattern(pattern) if pattern else None
    target = Target(sparsity=zeros / group, pattern=groups)
    pruned = METHODS[method].prune(weight, statistics_of(inputs), target)
    truth = naive_kept(weight, inputs, zeros, group, uses_inputs=method == "wanda")
    assert torch.equal(pruned.kept, truth)
    assert torch.equal(pruned.weight, torch.where(truth, weight, 0.0))


def test_the_two_methods_differ_where_inputs_do():
    """Or the test above could pass with inputs that have no say."""
    weight = torch.tensor([[1.0, 0.9, 0.8, 0.7]])
    statistics = statistics_of(torch.tensor([[0.1, 1.0, 1.0, 1.0]] * 3))
    kept = {
        name: METHODS[name].prune(weight, statistics, Target(sparsity=0.25)).kept for name in METHODS if name[0] != "s"
    }
    assert kept["magnitude"].tolist() == [[True, True, True, False]]
    assert kept["wanda"].tolist() == [[False, True, True, True]]


@given(st.integers(1, 6), st.integers(1, 40), st.floats(0, 0.99), st.integers(0, 99))
def test_sparsity_is_exact_in_every_row(rows, columns, sparsity, seed):
    scores = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)).round(decimals=1)  # with ties
    zeros = (~choose_kept(scores, Target(sparsity=sparsity))).sum(dim=1)
    assert set(zeros.tolist()) == {int(sparsity * columns + 0.5)}


@given(st.integers(1, 5), st.integers(1, 5), st.integers(2, 8), st.integers(0, 99), st.data())
def test_each_group_has_exactly_its_zeros(rows, groups, size, seed, data):
    pattern = GroupPattern(zeros=data.draw(st.integers(1, size - 1)), size=size)
    scores = torch.rand(rows, groups * size, generator=torch.Generator().manual_seed(seed))
    kept = keep_highest_in_groups(scores.round(decimals=1), pattern)
    assert ((~kept).reshape(rows, groups, size).sum(dim=2) == pattern.zeros).all()


@pytest.mark.slow
@given(st.floats(0, 0.99), st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_zeros_of_blocks_add_up_to_those_of_the_row(sparsity, blocks):
    target, start, total = Target(sparsity=sparsity), 0, 0
    for size in blocks:
        share = target.zeros_before(start + size) - target.zeros_before(start)
        assert 0 <= share <= size
        start, total = start + size, total + share
    assert total == int(sparsity * sum(blocks) + 0.5)


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


@pytest.mark.parametrize("text", ["24", "2:", "4:4", "0:4", "a:b", "5:4", ""])
def test_a_pattern_that_is_none_is_reported(text):
    with pytest.raises(BuildError, match="2:4"):
        parse_pattern(text)


def test_what_does_not_fit_is_reported():
    with pytest.raises(BuildError, match="groups of 4"):
        keep_highest_in_groups(torch.rand(2, 6), parse_pattern("2:4"))
    with pytest.raises(BuildError, match="2:4"):
        Target(sparsity=0.6, pattern=parse_pattern("2:4"))
    with pytest.raises(BuildError, match="magnitude, wanda, sparsegpt"):
        find_method("random")


def test_outliers_are_counted_against_the_mean_of_the_whole_layer():
    scores = [magnitude_scores(torch.tensor([[1.0, -1.0], [1.0, 20.0]])), magnitude_scores(torch.ones(1, 4))]
    everything = [1, 1, 1, 20, 1, 1, 1, 1]
    mean = sum(everything) / 8
    assert outlier_share(scores, 5.0) == sum(one > 5 * mean for one in everything) / 8 == 1 / 8


@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=12),
    st.floats(0.01, 0.95),
    st.floats(0, 0.3),
)
def test_owl_keeps_the_mean_and_more_where_outliers_are(shares, sparsity, spread):
    made = spread_sparsity(shares, sparsity, spread)
    assert sum(made) / len(made) == pytest.approx(sparsity, abs=1e-6)
    assert max(made) - min(made) <= 2 * spread + 1e-9
    assert all(0 <= one < 1 for one in made)
    for (_, left), (_, right) in itertools.pairwise(sorted(zip(shares, made, strict=True))):
        assert left >= right - 1e-9


def test_owl_is_the_papers_formula():
    """Density of layer l: the mean density, plus 2λ(D_l − min D)/(max D − min D), less the mean of that term."""
    shares, sparsity, spread = [0.01, 0.05, 0.02], 0.7, 0.08
    lifted = [(one - 0.01) / 0.04 * 2 * spread for one in shares]
    densities = [one - sum(lifted) / 3 + (1 - sparsity) for one in lifted]
    assert spread_sparsity(shares, sparsity, spread) == pytest.approx([1 - one for one in densities])

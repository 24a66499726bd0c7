"""The pass over the layers against transformers' own forward pass."""

import pytest
import torch

from builder.pruning import channels
from builder.pruning.layers import WidthSettings, narrow_layers
from builder.pruning.plan import SizeSettings, count_parameters, plan_size
from builder.pruning.vocabulary import TokenOrder
from testbed.models import make_model


def sequences(count, seed, vocabulary=300, length=24):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, vocabulary, (length + i % 3,), generator=generator).tolist() for i in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_full_width_changes_nothing(kind):
    model = make_model(300, kind=kind)
    ids = torch.tensor([sequences(1, 7)[0]])
    before = model(ids).logits
    narrow_layers(model, sequences(30, 1), sequences(5, 2), 256, WidthSettings())
    torch.testing.assert_close(model(ids).logits, before, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_products_in_8_bits_choose_nearly_the_same_channels():
    chosen, errors = [], []
    for is_int8 in (False, True):
        model = make_model(300)
        choices = narrow_layers(model, sequences(60, 1), sequences(6, 2), 128, WidthSettings(), is_int8=is_int8)
        chosen.append([set(choice.channels.tolist()) for choice in choices])
        errors.append(sum(choice.output_error for choice in choices))
        assert not any("forward" in vars(module) for module in model.modules())
    for exact, close in zip(*chosen, strict=True):
        assert len(exact & close) > 0.9 * 128
    assert 0 < abs(errors[1] - errors[0]) < 0.05 * errors[0], "another way, nearly the same loss"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_each_layer_is_measured_on_the_pruned_ones_before_it(kind):
    """The reported error of the last layer is what the pruned model shows there, seen through the norm that follows."""
    model = make_model(300, kind=kind)
    dense = make_model(300, kind=kind)
    validation = sequences(6, 2)
    choices = narrow_layers(model, sequences(60, 1), validation, 128, WidthSettings())
    last = dense.model.layers[-1].mlp.down_proj.weight
    captured, residuals = [], []
    # The dense last layer, fed by the pruned first one.
    inner = model.model.layers[-1].mlp
    inner.gate_proj.weight.data, inner.up_proj.weight.data = (
        dense.model.layers[-1].mlp.gate_proj.weight.data,
        dense.model.layers[-1].mlp.up_proj.weight.data,
    )
    inner.down_proj.weight.data = last.data
    inner.down_proj.register_forward_pre_hook(lambda _, args: captured.append(args[0][0]))
    model.model.norm.register_forward_pre_hook(lambda _, args: residuals.append(args[0][0]))
    for ids in validation:
        model(torch.tensor([ids]))
    inputs = torch.cat(captured) * torch.cat(residuals).square().mean(dim=1, keepdim=True).rsqrt()
    truth = inputs @ last.T
    lost = truth - inputs[:, choices[-1].channels] @ choices[-1].weight.T
    assert float(lost.square().sum() / truth.square().sum()) == pytest.approx(choices[-1].output_error, rel=1e-3)


def test_a_layer_that_the_last_ridge_does_not_invert_takes_a_larger_one(monkeypatch):
    tried, eliminate = [], channels.eliminate

    def regularized(gram, ridge):
        tried.append(ridge)
        return gram + ridge * torch.eye(len(gram))

    def played_eliminate(*problem):
        if len(tried) == 4:  # the second layer's first
            raise torch.linalg.LinAlgError  # type: ignore[attr-defined]
        return eliminate(*problem)

    monkeypatch.setattr(channels, "regularized", regularized)
    monkeypatch.setattr(channels, "eliminate", played_eliminate)
    monkeypatch.setattr(channels, "output_error", lambda *_: float(len(tried)))  # the first ridge wins
    settings = WidthSettings(ridges=(1.0, 3.0, 9.0))
    choices = narrow_layers(make_model(300), sequences(30, 1), sequences(5, 2), 128, settings)
    assert tried == [1.0, 3.0, 9.0, 1.0, 3.0]
    assert [choice.ridge for choice in choices] == [1.0, 3.0]


@pytest.mark.slow
def test_a_narrowed_model_is_a_plain_one(tmp_path):
    model = make_model(300)
    narrow_layers(model, sequences(30, 1), sequences(5, 2), 128, WidthSettings())
    ids = torch.tensor([sequences(1, 9)[0]])
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    assert again.config.intermediate_size == 128
    torch.testing.assert_close(again(ids).logits, model(ids).logits)


@pytest.mark.slow
def test_the_plan_counts_what_the_model_then_has():
    model = make_model(900, width=1024)
    base = count_parameters(model)
    plan = plan_size(model, SizeSettings(size=0.6), TokenOrder(ids=tuple(range(900)), used=300, likely=400))
    assert plan.base_parameters == base
    assert plan.width % 128 == 0
    assert plan.share <= 0.6
    narrow_layers(model, sequences(20, 1), sequences(5, 2), plan.width, WidthSettings())
    embedding = model.get_input_embeddings()
    embedding.weight.data = embedding.weight.data[: len(plan.kept_token_ids)]
    assert count_parameters(model) == plan.parameters

"""Sequences packed into a row are judged, and train, as each by itself; no sequence sees another."""

import pytest
import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from builder.finetuning.causal_attention import BLOCK, attend
from builder.finetuning.packed import BY_PRODUCTS, BY_TORCH, packed_nats
from builder.nats import LOGIT_POSITIONS
from testbed.models import make_model

BATCH = [[5, 6, 7, 8, 9], [1, 2], [30, 31, 32, 33, 34, 35, 36], [4, 4, 4]]


def alone(model, ids):
    logits = model(torch.tensor([ids]), use_cache=False).logits[0, :-1]
    return cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize("attention", [BY_TORCH, BY_PRODUCTS])
def test_losses_and_gradients_are_those_of_the_sequences_alone(kind, attention):
    model = make_model(100, kind=kind).requires_grad_(True)
    expected = torch.cat([alone(model, ids) for ids in BATCH])
    expected.sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model.set_attn_implementation(attention)
    nats = packed_nats(model, BATCH, torch.device("cpu"))
    nats.sum().backward()
    torch.testing.assert_close(nats, expected, rtol=1e-4, atol=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-5)


def test_logits_of_a_few_positions_at_a_time_are_those_of_all():
    model = make_model(100)
    batch = [[i % 90 for i in range(LOGIT_POSITIONS + 50)], [3, 4, 5]]
    with torch.no_grad():
        expected = torch.cat([alone(model, ids) for ids in batch])
        model.set_attn_implementation(BY_TORCH)
        nats = packed_nats(model, batch, torch.device("cpu"))
    assert nats.shape == (LOGIT_POSITIONS + 51,)
    torch.testing.assert_close(nats, expected, rtol=1e-4, atol=1e-5)


def test_a_model_that_is_not_reported_the_lengths_says_so():
    model = make_model(100)
    model.set_attn_implementation(BY_TORCH)
    with pytest.raises(TypeError, match="lengths"):
        model(torch.tensor([[1, 2, 3]]))


def attended(parts, weights):
    """What attention gives, and the gradients of query, key and value for a weighted sum of it, in float32."""
    query, key, value = (one.detach().float().requires_grad_() for one in parts)
    keys, values = (one.repeat_interleave(len(query) // len(key), 0)[None] for one in (key, value))
    output = scaled_dot_product_attention(query[None], keys, values, is_causal=True)[0]
    (output * weights).sum().backward()
    return [output.detach(), *(one.grad for one in (query, key, value))]


@pytest.mark.parametrize("tokens", [1, BLOCK, 2 * BLOCK + 7])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2)])
def test_products_attend_as_the_definition_says(tokens, heads, key_heads):
    torch.manual_seed(0)
    parts = [torch.randn(count, tokens, 8, requires_grad=True) for count in (heads, key_heads, key_heads)]
    weights = torch.randn(heads, tokens, 8)
    output = attend(*parts, scaling=8**-0.5)
    (output * weights).sum().backward()
    for found, expected in zip([output, *(one.grad for one in parts)], attended(parts, weights), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_bias_that_all_keys_share_costs_no_precision():
    """Scores of a thousand, as Qwen2's, would be rounded by several units in bfloat16."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 200, 8) for _ in range(3))
    key = key + 300
    halves = [one.bfloat16().requires_grad_() for one in (query, key, value)]
    weights = torch.randn(2, 200, 8).bfloat16()
    output = attend(*halves, scaling=8**-0.5)
    (output * weights).sum().backward()
    for found, expected in zip([output, *(one.grad for one in halves)], attended(halves, weights), strict=True):
        assert (found.float() - expected).norm() < 0.03 * expected.norm()

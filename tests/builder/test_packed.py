"""Sequences packed into a row are judged, and train, as each by itself; no sequence sees another."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from builder.finetuning.packed import NAME, packed_nats
from builder.nats import LOGIT_POSITIONS
from testbed.models import make_model

BATCH = [[5, 6, 7, 8, 9], [1, 2], [30, 31, 32, 33, 34, 35, 36], [4, 4, 4]]


def alone(model, ids):
    logits = model(torch.tensor([ids]), use_cache=False).logits[0, :-1]
    return cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_losses_and_gradients_are_those_of_the_sequences_alone(kind):
    model = make_model(100, kind=kind).requires_grad_(True)
    expected = torch.cat([alone(model, ids) for ids in BATCH])
    expected.sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model.set_attn_implementation(NAME)
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
        model.set_attn_implementation(NAME)
        nats = packed_nats(model, batch, torch.device("cpu"))
    assert nats.shape == (LOGIT_POSITIONS + 51,)
    torch.testing.assert_close(nats, expected, rtol=1e-4, atol=1e-5)


def test_a_model_that_is_not_reported_the_lengths_says_so():
    model = make_model(100)
    model.set_attn_implementation(NAME)
    with pytest.raises(TypeError, match="lengths"):
        model(torch.tensor([[1, 2, 3]]))

"""Products in 8 bits: how close they are, and where they are taken."""

from itertools import cycle
from math import inf

import pytest
import torch
from torch import nn

from builder import int8, number_format
from builder.int8 import in_8_bits, is_int8_faster, multiplies_rightly, multiply, quantize_rows


def test_a_row_keeps_its_largest_value():
    rows = torch.tensor([[0.0, -2.0, 1.0], [0.0, 0.0, 0.0], [1e-3, 5e-4, 0.0]])
    quantized, scales = quantize_rows(rows)
    assert quantized.tolist() == [[0, -127, 64], [0, 0, 0], [127, 64, 0]]
    torch.testing.assert_close(quantized * scales, rows, atol=1e-2, rtol=0)


def test_a_product_is_close_to_the_exact_one():
    torch.manual_seed(0)
    inputs, weight = torch.randn(50, 256) * torch.logspace(-3, 3, 50)[:, None], torch.randn(70, 256)
    exact = inputs @ weight.t()
    error = multiply(quantize_rows(inputs), quantize_rows(weight)) - exact
    assert (error.norm(dim=1) / exact.norm(dim=1)).max() < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_within_the_block_the_layers_of_a_module_multiply_in_8_bits(dtype, monkeypatch):
    torch.manual_seed(0)
    block = nn.ModuleList([nn.Linear(256, 70), nn.Linear(256, 30, bias=False)]).to(dtype)
    inputs, calls = torch.randn(2, 50, 256, dtype=dtype), []
    with torch.no_grad():
        exact = [layer(inputs) for layer in block]
        with in_8_bits(block):
            monkeypatch.setattr(int8, "quantize_rows", lambda rows: calls.append(rows.shape) or quantize_rows(rows))
            close = [layer(inputs) for layer in block]
        after = [layer(inputs) for layer in block]
    assert calls == [(100, 256)], "both layers have the same inputs"
    for one, other, last in zip(exact, close, after, strict=True):
        assert other.shape == one.shape and other.dtype is dtype
        assert 0 < float((other - one).float().norm() / one.float().norm()) < 0.02
        assert torch.equal(one, last)


def test_a_number_format_without_a_kernel_is_not_timed_for_long(monkeypatch):
    bounds = []
    monkeypatch.setattr(number_format, "shortest_seconds", lambda run, rounds, most_s=inf: bounds.append(most_s) or 1.0)
    number_format.fastest_dtype()
    assert max(bounds) <= 2


@pytest.mark.parametrize("product", ["exact", "saturating", "missing"])
def test_only_a_processor_that_multiplies_rightly_in_8_bits_does(monkeypatch, product):
    def int_mm(left, right):
        if product == "missing":
            raise RuntimeError("_int_mm: not for this processor")
        if product == "exact":
            return left.int() @ right.int()
        columns = right.t().int()[None]
        pairs = ((left.int() + 128)[:, None] * columns).unflatten(-1, (-1, 2)).sum(-1)  # unsigned times signed
        return (pairs.clamp(-(1 << 15), (1 << 15) - 1).sum(-1) - 128 * columns.sum(-1)).int()

    seconds = cycle([0.5, 1.0])  # in 8 bits and not
    monkeypatch.setattr(int8, "shortest_seconds", lambda *_, **__: next(seconds))
    monkeypatch.setattr(torch, "_int_mm", int_mm)
    assert is_int8_faster(torch.float32) == multiplies_rightly() == (product == "exact")


@pytest.mark.parametrize(
    ("seconds", "is_faster"),
    [
        pytest.param([0.8, 1.0] * 3, True, id="somewhat faster"),
        pytest.param([1.0, 1.0] * 3, False, id="as fast"),
        pytest.param([1.5, 1.0, 0.6, 1.0, 0.7, 1.0], True, id="another program ran in the first turn"),
        pytest.param([2.5, 1.0], False, id="so slow that it is not measured again"),
    ],
)
def test_8_bits_are_measured_in_turns(monkeypatch, seconds, is_faster):
    left = iter(seconds)
    monkeypatch.setattr(int8, "shortest_seconds", lambda *_, **__: next(left))
    monkeypatch.setattr(int8, "multiplies_rightly", lambda: True)
    assert is_int8_faster(torch.float32) == is_faster
    assert not [*left]

"""How the size is reached, and when it can't be."""

import pytest

from builder.pruning.plan import SizeSettings, count_parameters, plan_size
from builder.pruning.vocabulary import TokenOrder
from contract.errors import BuildError
from testbed.models import make_model

ORDER = TokenOrder(ids=tuple(range(2000)), used=400, likely=450)


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("size", [0.3, 0.5, 0.8])
def test_the_plan_stays_within_the_size_and_uses_it(size, is_tied):
    model = make_model(2000, width=2048, is_tied=is_tied)
    plan = plan_size(model, SizeSettings(size=size), ORDER)
    assert plan.width % 128 == 0
    column = 3 * 64 * 2  # one channel in both layers
    unused = size * count_parameters(model) - plan.parameters
    assert 0 <= unused < 128 * column
    if len(plan.kept_token_ids) < 2000:
        assert unused < 64 * 2  # what a width's step leaves over goes to the vocabulary


def test_vocabulary_goes_before_width():
    """Where dropping unused tokens is enough, no layer is touched."""
    model = make_model(2000, width=256)
    base = count_parameters(model)
    plan = plan_size(model, SizeSettings(size=1 - 0.9 * 1500 * 64 / base), ORDER)
    assert plan.width == 256
    assert len(plan.kept_token_ids) < 2000


def test_what_cannot_be_reached_is_said_with_the_least_that_can():
    model = make_model(2000, width=2048)
    with pytest.raises(BuildError, match=r"--size 0.05 can't be reached.*the least is 0\.\d\d") as caught:
        plan_size(model, SizeSettings(size=0.05), ORDER)
    least = float(str(caught.value).split("the least is ")[1].split(" ")[0])
    plan_size(model, SizeSettings(size=least), ORDER)


def test_likely_tokens_leave_before_a_size_is_refused():
    model = make_model(2000, width=2048)
    order = TokenOrder(ids=tuple(range(2000)), used=100, likely=1500)
    with pytest.raises(BuildError) as caught:
        plan_size(model, SizeSettings(size=0.05), order)
    least = float(str(caught.value).split("the least is ")[1].split(" ")[0])
    plan = plan_size(model, SizeSettings(size=least), order)
    assert plan.width == 512  # a quarter
    assert 100 <= len(plan.kept_token_ids) < 1500


@pytest.mark.parametrize("size", [0.0, 1.01, -3])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(BuildError, match="out of range"):
        SizeSettings(size=size)

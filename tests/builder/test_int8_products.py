"""Products in 8 bits: what they give and learn beside those of the model's own type, and when they are taken."""

from contextlib import nullcontext

import pytest
import torch
from peft import LoraConfig, get_peft_model

from builder import int8
from builder.finetuning import finetune as tuning
from builder.finetuning import int8_products as products
from builder.finetuning.finetune import finetune
from builder.finetuning.int8_products import int8_products
from builder.finetuning.training_run import TrainingRun
from builder.finetuning.training_state import StateFile
from testbed.models import make_model
from tests.builder.test_finetuning import SETTINGS, corpus, encoder_and_model

TOKENS = torch.arange(40)[None] % 30


def adapted(dtype=torch.float32):
    """A tiny model with factors that change its answers."""
    torch.manual_seed(0)
    model = get_peft_model(
        make_model(40, spread=0.1).to(dtype),
        LoraConfig(r=4, target_modules=list(tuning.TARGETS), task_type="CAUSAL_LM"),
    )
    for name, factor in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(factor, std=0.05)
    return model


def loss_and_gradients(model, is_int8):
    with int8_products(model) if is_int8 else nullcontext():
        loss = model(input_ids=TOKENS, labels=TOKENS).loss
        loss.backward()
    gradients = {name: one.grad.clone() for name, one in model.named_parameters() if one.requires_grad}
    model.zero_grad(set_to_none=True)
    return float(loss.detach()), gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_are_close_to_those_of_the_models_type(dtype):
    model = adapted(dtype)
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16, cache_enabled=False)
    with mixed:
        (exact_loss, exact), (loss, gradients) = (loss_and_gradients(model, is_int8) for is_int8 in (False, True))
    assert loss == pytest.approx(exact_loss, rel=0.01)
    assert gradients.keys() == exact.keys() and len(exact) == 2 * 7 * len(model.get_decoder().layers)
    for name, gradient in gradients.items():
        cosine = torch.nn.functional.cosine_similarity(gradient.flatten(), exact[name].flatten(), dim=0)
        assert cosine > 0.97, name
        assert gradient.norm() == pytest.approx(float(exact[name].norm()), rel=0.1), name


def test_afterwards_the_model_is_as_before():
    model = adapted()
    with torch.no_grad():
        before = model(input_ids=TOKENS).logits
        with int8_products(model):
            inside = model(input_ids=TOKENS).logits
        after = model(input_ids=TOKENS).logits
    assert torch.equal(before, after) and not torch.equal(before, inside)


def test_weights_that_no_product_reads_are_kept_in_half_where_that_loses_nothing():
    model = adapted()
    rounded, exact = [module.get_base_layer().weight for module in model.modules() if hasattr(module, "lora_A")][:2]
    with torch.no_grad():
        rounded.copy_(rounded.bfloat16())
        exact[0, 0] = 1 + 2**-20
    before = [one.clone() for one in (rounded, exact)]
    with int8_products(model):
        assert [one.dtype for one in (rounded, exact)] == [torch.bfloat16, torch.float32]
    for one, was in zip((rounded, exact), before, strict=True):
        assert one.dtype is torch.float32
        assert torch.equal(one, was)


def test_query_key_and_value_quantize_their_inputs_once(monkeypatch):
    model, calls = adapted(), []
    real = int8.quantize_rows
    with torch.no_grad(), int8_products(model):
        for module in (int8, products):
            monkeypatch.setattr(module, "quantize_rows", lambda rows: calls.append(rows.shape) or real(rows))
        model(input_ids=TOKENS)
    assert len(calls) == 4 * len(model.get_decoder().layers) + 1, "attention's inputs, o, gate and up, down; the head"


def test_what_is_trained_in_8_bits_serves_a_model_in_its_own_type(tmp_path):
    losses = {}
    for is_int8 in (False, True):
        encoder, model = encoder_and_model()
        state = StateFile(path=tmp_path / str(is_int8), stage_hash="k")
        summary = finetune(model, encoder, corpus(), SETTINGS, state=state, is_int8=is_int8).summary
        assert summary["products"] == ("int8" if is_int8 else "float32")
        before, losses[is_int8] = (float(summary["validation_loss"][when] or 0) for when in ("before", "after"))
        assert 0 < losses[is_int8] < before - 0.05
    assert losses[True] == pytest.approx(losses[False], rel=0.05)


@pytest.mark.parametrize(("device", "expected"), [("cpu", True), ("cuda", False)])
def test_a_gpu_multiplies_in_its_own_type(tmp_path, monkeypatch, device, expected):
    class Begun(Exception):
        pass

    def begin(model):
        taken.append(model)
        raise Begun

    taken, to = [], torch.nn.Module.to
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *where, **_: self if device == "cuda" else to(self, *where))
    monkeypatch.setattr(tuning, "training_device", lambda: torch.device(device))
    monkeypatch.setattr(tuning, "int8_products", begin)
    monkeypatch.setattr(TrainingRun, "train", lambda self: begin(None))
    encoder, model = encoder_and_model()
    state = StateFile(path=tmp_path / "state", stage_hash="k")
    with pytest.raises(Begun):
        finetune(model, encoder, corpus(), SETTINGS, state=state, is_int8=True)
    assert (taken[0] is not None) is expected

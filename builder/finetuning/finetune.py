"""Fine-tuning: the pruned model is trained on the calibration files, in the prompt format that the server sends.

Low-rank factors beside every matrix of the layers are trained (peft), then merged, so that what is saved is a plain
model again. The budget is time: the first steps tell how fast this machine trains, and the schedule is made from that.
Validation files choose the step that is kept; held-out files are never seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.helpers import disable_input_dtype_casting
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel

from builder.corpus.corpus import SourceFile
from builder.finetuning.finetune_settings import DEVICE_VARIABLE, FinetuneSettings, wanted_device
from builder.finetuning.gated import gated_in_half
from builder.finetuning.int8_products import int8_products
from builder.finetuning.packed import choose_attention
from builder.finetuning.training_data import Material
from builder.finetuning.training_run import TrainingRun
from builder.finetuning.training_state import StateFile
from contract.documents import FineTuningFacts
from contract.errors import BuildError, CorpusError, first_line
from contract.progress import OnEvent, OnProgress, no_event, no_progress
from contract.prompt import PromptEncoder

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class Finetuned:
    """A fine-tuned model, its factors merged, and how it came about."""

    model: PreTrainedModel
    summary: FineTuningFacts


def finetune(
    model: PreTrainedModel,
    encoder: PromptEncoder,
    files: Sequence[SourceFile],
    settings: FinetuneSettings,
    *,
    state: StateFile,
    is_int8: bool = False,
    on_event: OnEvent = no_event,
    on_progress: OnProgress = no_progress,
) -> Finetuned:
    """Fine-tune `model` (changed in place) on the calibration files of a corpus.

    is_int8: the CPU multiplies by the frozen weights in 8 bits (`builder.int8.is_int8_faster`); a GPU does not.
    What `state` holds of its stage hash is resumed; the caller removes it once the model is safe. Raises CorpusError
    if the files hold nothing to train or validate on, and BuildError if the GPU fails.
    """
    material = Material(files, encoder, settings)
    for has_lines, purpose in (
        (material.has_step(0), "fine-tune"),
        (bool(material.validation), "validate the fine-tuning"),
    ):
        if not has_lines:
            raise CorpusError(
                f"The repository has no line of code to {purpose} on; add code files, or build with --minutes 0."
            )
    adapted = _adapted(model, settings)
    device = training_device()
    try:
        run = _train(adapted, device, material, settings, state, is_int8, on_event, on_progress)
    except RuntimeError as error:  # too little memory, a torch without kernels for this GPU, an operation it lacks
        if device.type == "cpu":
            raise
        raise BuildError(
            f"The GPU can't fine-tune this model ({first_line(error, 200)}); set {DEVICE_VARIABLE}=cpu to fine-tune it "
            "on the processor."
        ) from error
    summary = run.summary()
    summary["products"] = "int8" if is_int8 and device.type == "cpu" else str(model.dtype).removeprefix("torch.")
    return Finetuned(model=_merged(adapted), summary=summary)


def _train(
    adapted: Any,
    device: torch.device,
    material: Material,
    settings: FinetuneSettings,
    state: StateFile,
    is_int8: bool,
    on_event: OnEvent,
    on_progress: OnProgress,
) -> TrainingRun:
    """Train the factors of a model on a device."""
    adapted.to(device)
    is_cpu = device.type == "cpu"
    run = TrainingRun(adapted, material, settings, state, is_int8, on_event, on_progress)
    run.restore()
    with (
        _packed_and_mixed(adapted, device, choose_attention(adapted, settings)),
        gated_in_half(adapted) if is_cpu else nullcontext(),
        int8_products(adapted) if is_cpu and is_int8 else nullcontext(),
    ):
        run.train()
    return run


def _adapted(model: PreTrainedModel, settings: FinetuneSettings) -> Any:
    """`model` with new factors, the same at each call."""
    torch.manual_seed(settings.seed)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=round(settings.rank * settings.scale),
        target_modules=list(TARGETS),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def _merged(adapted: Any) -> PreTrainedModel:
    """Return the model with its factors added to its weights."""
    for module in adapted.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()
    model: PreTrainedModel = adapted.unload().to("cpu").eval()
    return model


def training_device() -> torch.device:
    """Return the CUDA device if torch has one and `wanted_device` does not exclude it, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() and wanted_device() != "cpu" else "cpu")


def training_dtype(measured: torch.dtype) -> torch.dtype:
    """Return the number format to train in: bfloat16 on a GPU that computes in it, else `measured`, the CPU's."""
    try:
        has_bfloat16 = training_device().type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    except RuntimeError:  # the card is busy or broken: `finetune` will say so
        has_bfloat16 = False
    return torch.bfloat16 if has_bfloat16 else measured


@contextmanager
def _packed_and_mixed(model: Any, device: torch.device, attention: str) -> Iterator[None]:
    """Within the block `model` takes several sequences as one row, and a bf16 model's float32 factors work in bf16.

    Casting each layer's input to float32 and back for the factors alone took a tenth of a step.
    """
    before = model.config._attn_implementation
    model.set_attn_implementation(attention)
    is_mixed = model.dtype is torch.bfloat16
    try:
        with (
            disable_input_dtype_casting(model, active=is_mixed),
            # Its cache would keep the factors' first values for as long as the block lasts.
            torch.autocast(device.type, torch.bfloat16, enabled=is_mixed, cache_enabled=False),
        ):
            yield
    finally:
        model.set_attn_implementation(before)

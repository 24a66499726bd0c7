"""Exports other decoder architectures with optimum-onnx, in float32, into a folder like a bundle.

ORTModelForCausalLM and transformers.js load it. Our engine does not, since inputs differ by architecture; `read_bundle`
says so. `optimum_types()` lists the types that optimum exports, `MODEL_TYPES` those of our graph.
"""

from __future__ import annotations

import functools
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from optimum.exporters.onnx import model_configs, onnx_export_from_model
from optimum.exporters.tasks import TasksManager
from optimum.onnxruntime import ORTModelForCausalLM
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, PretrainedConfig, PreTrainedModel

from builder.artifact import SubModel, read_artifact
from builder.bases.folder_model import MODEL_FAULTS, head_size, model_with_weights
from builder.bases.model_config import check_sizes, read_tokenizer_settings
from builder.bases.prompt_tokens import first_token, make_prompt_format, token_of
from builder.bases.resolve import licence_of
from builder.versions import installed_versions
from contract.bundle.bundle import OPTIMUM_LAYOUT, Architecture, Bundle, read_bundle, replace_bundle
from contract.bundle.manifest import TOKENIZER_FILE, write_manifest_of
from contract.errors import ExportError, first_line
from contract.files.disk_errors import is_out_of_memory
from contract.progress import OnEvent, no_event
from contract.prompt import PromptEncoder
from contract.runtime_errors import RUNTIME_ERRORS
from exporters.checkpoint_reader import MAX_POSITIONS, FloatArray, read_config, read_tokenizer
from exporters.configuration_files import COPIED_FILES
from exporters.parity import ExportSettings, ParityReport, ParitySettings, compare_logits
from exporters.precision import Precision
from exporters.prompts import choose_prompts
from exporters.reference import ParityPrompt

TASK = "text-generation-with-past"
# A kernel of the model hub, a class of the folder, a quantizer's library; `_attn_implementation` begins with "_".
CODE_KEYS = frozenset({"attn_implementation", "auto_map", "quantization_config", "transformers_weights"})
VERSIONED = ("submodel", "onnxruntime", "optimum", "optimum-onnx", "tokenizers", "torch", "transformers")


def optimum_types() -> list[str]:
    """Return the model types that the installed optimum exports as decoders with a KV cache."""
    return sorted(TasksManager.get_supported_model_type_for_task(TASK, exporter="onnx"))


def export_with_optimum(
    model_folder: Path,
    bundle_folder: Path,
    settings: ExportSettings,
    *,
    on_event: OnEvent = no_event,
) -> Bundle:
    """Export a checkpoint folder of an architecture that optimum knows, and check its logits with and without a past.

    Raises ExportError if optimum does not know it, another precision than fp32 is wanted, the check fails or the folder
    can't be written, and BuildError if `model_folder` is no model.
    """
    source = read_artifact(model_folder)
    model_type = read_config(model_folder)["model_type"]
    if model_type not in optimum_types():
        raise ExportError(
            f"Neither the decode graph nor optimum exports models of the type {model_type!r}; take another model."
        )
    if settings.precision is not Precision.FP32:
        raise ExportError(
            f"A model of the type {model_type!r} can be exported in fp32 only, not in {settings.precision}; use "
            "--quantize fp32."
        )
    model = _load(model_folder)
    architecture = _architecture(model_folder, model.config)
    encoder = _encoder(model_folder, model.config, architecture.max_positions)
    sample = replace(settings.parity, prompts=settings.parity.logit_prompts)
    prompts = choose_prompts(source, encoder, sample, max_positions=architecture.max_positions)
    with replace_bundle(bundle_folder) as fresh:
        on_event(f"Exporting {model_type} through optimum")
        _run_optimum(model, fresh)
        for name in COPIED_FILES:
            if (model_folder / name).is_file():
                shutil.copyfile(model_folder / name, fresh / name)
        encoder.tokenizer.save(str(fresh / TOKENIZER_FILE))
        on_event("Checking the graph in fp32")
        try:
            report = _check(model, fresh, prompts, settings.parity)
        except RUNTIME_ERRORS as error:
            raise ExportError(
                f"ONNX Runtime can't run what optimum makes of the type {model_type!r} ({first_line(error, 300)}); "
                "take another model."
            ) from error
        write_manifest_of(fresh, _manifest(source, model, architecture, encoder, report))
    return read_bundle(bundle_folder, layout=OPTIMUM_LAYOUT)


def _run_optimum(model: PreTrainedModel, fresh: Path) -> None:
    """Put optimum's files into `fresh`/onnx, without its copies of configuration and tokenizer."""
    _keep_partials()
    scratch = fresh / "optimum"
    scratch.mkdir()
    model.config.name_or_path = str(scratch)  # where optimum looks for a tokenizer to copy; else it asks the model hub
    model.config.use_cache = True  # as optimum's own loader has it: the graph gives keys and values back
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's and the exporter's remarks on transformers' own code
            # Its own validation only warns; ours follows and stops.
            onnx_export_from_model(model, scratch, task=TASK, do_validation=False)
    except (ValueError, KeyError, TypeError, NotImplementedError, RuntimeError) as error:
        raise ExportError(f"optimum can't export a model of the type {model.config.model_type!r}: {error}.") from error
    (fresh / "onnx").mkdir()
    for path in scratch.glob("*.onnx*"):
        path.replace(fresh / "onnx" / path.name)
    shutil.rmtree(scratch)


def _keep_partials() -> None:
    """Let optimum-onnx 0.1.0 export on Python 3.14, where a `functools.partial` in a class is bound as a method is."""
    for config in vars(model_configs).values():
        made = vars(config).get("NORMALIZED_CONFIG_CLASS") if isinstance(config, type) else None
        if isinstance(made, functools.partial):
            config.NORMALIZED_CONFIG_CLASS = staticmethod(made)


def _load(model_folder: Path) -> PreTrainedModel:
    """Return the model of a folder that transformers never sees (`builder.bases.folder_model`)."""
    document = read_config(model_folder)
    if "quantization_config" in document:
        raise ExportError(f"{model_folder} holds quantized weights; give the original model.")
    try:
        document = without_code(document)
        for sizes in (document, *(value for value in document.values() if isinstance(value, dict))):
            check_sizes(sizes)
        config = AutoConfig.for_model(document.pop("model_type"), **document)
        model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        model, report = model_with_weights(model_class, config, model_folder, torch.float32)
    except MODEL_FAULTS as error:
        if is_out_of_memory(error):
            raise
        raise ExportError(f"The model in {model_folder} can't be read: {error}.") from error
    if missing := sorted(report["missing_keys"]):
        raise ExportError(
            f"The model in {model_folder} lacks {len(missing)} tensors, first {missing[0]}; fetch it again."
        )
    return model


def without_code(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.json without the keys by which transformers finds code; architectures may have any other key."""
    return {
        key: without_code(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if not key.startswith("_") and key not in CODE_KEYS
    }


def _encoder(model_folder: Path, config: PretrainedConfig, positions: int) -> PromptEncoder:
    tokenizer = read_tokenizer(model_folder)
    made = make_prompt_format(
        tokenizer,
        is_fim=None,
        bos_token=first_token(tokenizer, read_tokenizer_settings(model_folder)),
        eos_token=token_of(tokenizer, config.eos_token_id),
    )
    return PromptEncoder(tokenizer, made.fitting(positions))


@torch.inference_mode()
def _check(model: PreTrainedModel, fresh: Path, prompts: list[ParityPrompt], settings: ParitySettings) -> ParityReport:
    """Compare the logits of each prompt at once, and those of its last token after a past."""
    exported = ORTModelForCausalLM.from_pretrained(fresh, subfolder="onnx", local_files_only=True, use_io_binding=False)
    pairs: list[tuple[FloatArray, FloatArray]] = []
    for prompt in prompts:
        ids = torch.tensor([prompt.prompt_ids])
        expected = model(ids).logits[0].numpy()
        whole = exported(ids, attention_mask=torch.ones_like(ids)).logits[0].numpy()
        pairs.append((whole, expected))
        if ids.shape[1] > 1:
            start = exported(ids[:, :-1], attention_mask=torch.ones_like(ids[:, :-1]), use_cache=True)
            past = start.past_key_values
            step = exported(ids[:, -1:], attention_mask=torch.ones_like(ids), past_key_values=past, use_cache=True)
            pairs.append((step.logits[0].numpy(), expected[-1:]))
    return compare_logits(pairs, len(prompts), settings)


def _architecture(model_folder: Path, config: PretrainedConfig) -> Architecture:
    """Return the numbers of the decoder, with as many positions as our own graphs have at most.

    Raises ExportError if `config` lacks one, or holds one that no model has.
    """
    try:
        heads = int(config.num_attention_heads)
        return Architecture(
            layers=int(config.num_hidden_layers),
            kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
            head_dim=head_size(config),
            hidden_size=int(config.hidden_size),
            vocab_size=int(config.vocab_size),
            max_positions=min(int(getattr(config, "max_position_embeddings", 2048)), MAX_POSITIONS),
        )
    except (AttributeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ExportError(
            f"{model_folder / 'config.json'} lacks or misstates a number of the decoder ({error})."
        ) from error


def _manifest(
    source: SubModel, model: PreTrainedModel, architecture: Architecture, encoder: PromptEncoder, report: ParityReport
) -> dict[str, Any]:
    return {
        "layout": OPTIMUM_LAYOUT,
        "base": {"name": source.folder.resolve().name},
        "licence": licence_of(source.folder),
        "parameters": model.num_parameters(),
        "prompt": encoder.prompt_format.to_json(),
        "quantization": str(Precision.FP32),
        "architecture": architecture.to_json(),
        "parity": report.to_json(),
        "versions": installed_versions(VERSIONED),
    }

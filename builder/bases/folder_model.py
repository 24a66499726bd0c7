"""The model of a transformers folder, made without transformers ever being shown the folder.

`from_pretrained(folder)` runs or fetches what the folder names: custom_generate/generate.py, kernels of the model hub,
adapters, pickled shards. So config.json is read by us, by the names of its keys, and the weights are read by
safetensors. Two architectures are taken, Llama and Qwen2, since those are what the pruning and the export know.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_parameter_registration_hook
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from builder.bases.model_config import read_base_config
from builder.bases.weight_index import WEIGHTS, read_weight_index
from contract.errors import BaseModelError, first_line
from contract.files.disk_errors import is_out_of_memory

ARCHITECTURES: Final = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
ATTENTION: Final = "sdpa"  # torch's own, which these two have
_SHARED_KEYS: Final = frozenset(
    {
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "hidden_act",
        "max_position_embeddings",
        "initializer_range",
        "rms_norm_eps",
        "use_cache",
        "tie_word_embeddings",
        "rope_theta",
        "rope_scaling",
        "attention_dropout",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    }
)
# What is taken from config.json. Any other key is dropped: some name code (`_attn_implementation_internal`).
CONFIG_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "llama": _SHARED_KEYS | {"attention_bias", "mlp_bias", "pretraining_tp"},
    "qwen2": _SHARED_KEYS | {"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"},
}
MODEL_FAULTS: Final = (
    *(OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError),
    *(ArithmeticError, AssertionError),  # of models whose numbers do not fit together
)
MAX_TABLE_BYTES: Final = 1 << 32  # of masks and positions, which some architectures make for each layer


def head_size(config: PretrainedConfig) -> int:
    """Return how many numbers an attention head has: `head_dim`, which may be missing or None, else an equal share."""
    stated: int | None = getattr(config, "head_dim", None)
    return stated or config.hidden_size // config.num_attention_heads


def read_folder_model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Read a Llama- or Qwen2-shaped model, on the CPU and in evaluation mode; raises BaseModelError for any other.

    A lack of memory is no fault of the model: its error stays as it is.
    """
    document = read_base_config(folder)
    kind = document["model_type"]
    config_class, model_class = ARCHITECTURES[kind]
    keys = CONFIG_KEYS[kind]
    try:
        config = config_class(**{key: value for key, value in document.items() if key in keys})
        model, report = model_with_weights(model_class, config, folder, dtype, attn_implementation=ATTENTION)
    except MODEL_FAULTS as error:
        if is_out_of_memory(error):
            raise
        raise BaseModelError(f"The model in {folder} can't be read: {first_line(error)}; fetch it again.") from error
    # Old checkpoints carry the rotary frequencies, which follow from the configuration.
    surplus = {key for key in report["unexpected_keys"] if not key.endswith("rotary_emb.inv_freq")}
    if wrong := sorted(surplus.union(report["missing_keys"])):
        raise BaseModelError(
            f"The weights in {folder} don't fit its config.json: {wrong[0]} is missing or left over; fetch it again."
        )
    return model


def model_with_weights(
    model_class: Any, config: PretrainedConfig, folder: Path, dtype: torch.dtype, **options: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Make the model of a configuration with the weights of a folder's safetensors files, and of no other file.

    `options` go to `model_class.from_pretrained`. Returns the model in evaluation mode, and what transformers says of
    the weights' names. Raises one of MODEL_FAULTS if the files can't be read or don't fit, and BaseModelError if the
    index is none.
    """
    weights = _read_weights(folder)
    _check_fit(model_class, config, weights)
    model, report = model_class.from_pretrained(
        None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True, **options
    )
    model.name_or_path = model.config.name_or_path = ""  # not "None", by which a library would ask the model hub
    return model.eval(), report


def _check_fit(model_class: Any, config: PretrainedConfig, weights: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError if the model of a configuration is larger than its weights.

    transformers allocates what is missing before it says so. The names are not compared here: for some architectures
    transformers changes them.
    """
    left = 2 * len(weights) + 64  # a tied matrix is registered twice

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"its {len(weights):,} tensors don't fit its config.json, which asks for more")

    with register_module_parameter_registration_hook(count), torch.device("meta"):  # no storage, no random numbers
        model = model_class(copy.deepcopy(config))
    asked, found = (sum(map(torch.numel, tensors)) for tensors in (model.parameters(), weights.values()))
    if asked > found:
        raise ValueError(f"its {found:,} weights don't fit its config.json, which asks for {asked:,}")
    if (size := sum(table.nbytes for table in model.buffers())) > MAX_TABLE_BYTES:
        raise ValueError(f"its config.json asks for tables of {size:,} bytes, and {MAX_TABLE_BYTES:,} are the most")


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = {}
    for path in _weight_files(folder):
        weights |= load_file(path)
    return weights


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    return sorted(set(read_weight_index(folder).values()))

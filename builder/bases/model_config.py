"""What config.json and the files beside the weights say of a model, and which models can be pruned and served.

No torch is loaded here: a base that can't be used is refused before its weights are fetched or read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from builder.bases.catalogue import MODEL_TYPES
from contract.errors import BaseModelError, first_line
from contract.files.untrusted_json import read_json

_QUANTIZATION_KEYS: Final = ("quantization_config", "quantization")  # transformers, MLX
HEAD_STEP: Final = 16  # of head sizes that GroupQueryAttention takes when it rotates
MAX_LAYERS: Final = 1 << 10
_LIMITS: Final = {
    "num_hidden_layers": MAX_LAYERS,
    "num_attention_heads": 1 << 12,
    "num_key_value_heads": 1 << 10,
    "head_dim": 1 << 12,
    "hidden_size": 1 << 18,
    "intermediate_size": 1 << 20,
    "vocab_size": 1 << 22,
    "max_position_embeddings": 1 << 24,
}


def with_rope_theta(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json as transformers 4 writes it: version 5 puts `rope_theta` and `rope_scaling` into one object.

    That object wins where both are there, as in version 5.
    """
    rope = config.get("rope_parameters")
    found = dict(config)
    if not isinstance(rope, Mapping):
        return found
    if "rope_theta" in rope:
        found["rope_theta"] = rope["rope_theta"]
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        found["rope_scaling"] = {key: value for key, value in rope.items() if key != "rope_theta"}
    return found


def check_sizes(config: Mapping[str, Any]) -> None:
    """Raise ValueError for numbers that no model has: libraries allocate by them before they compare a tensor."""
    for name, most in _LIMITS.items():
        number = config.get(name)  # None leaves a number to the library
        if number is not None and (not isinstance(number, int) or not 0 < number <= most):
            raise ValueError(f"{name} is {number!r}, and 1 to {most:,} can be")


def unsupported(config: Mapping[str, Any]) -> str | None:
    """Return what of a model the decode graph does not do, in words; None if there is nothing."""
    refusals = {
        "an activation other than silu": config.get("hidden_act", "silu") != "silu",
        "scaled rotary positions (rope_scaling)": _is_rope_scaled(config),
        "sliding-window attention": bool(config.get("use_sliding_window")),
        "biases (attention_bias, mlp_bias)": config.get("model_type") == "llama"
        and bool(config.get("attention_bias") or config.get("mlp_bias")),
        "rope_parameters without rope_theta": "rope_theta" not in config and "rope_parameters" in config,
    }
    return next((what for what, is_there in refusals.items() if is_there), None)


def _is_rope_scaled(config: Mapping[str, Any]) -> bool:
    scaling = config.get("rope_scaling")
    if not isinstance(scaling, Mapping):
        return scaling is not None
    return bool(scaling.get("rope_type", scaling.get("type", "default")) != "default")


def check_prunable(config: Mapping[str, Any], name: str) -> None:
    """Raise BaseModelError if no model of this config.json can be pruned. `name` is what the user calls the model."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_TYPES:
        raise BaseModelError(
            f"{name} is a model of the type {kind!r}; only {' and '.join(MODEL_TYPES)} can be read; "
            "give another base with --base."
        )
    if config.get("architectures") not in (None, [MODEL_TYPES[kind]]):
        raise BaseModelError(
            f"{name} is a {config['architectures']}, not a {MODEL_TYPES[kind]} that writes text; "
            "give another base with --base."
        )
    if any(config.get(key) is not None for key in _QUANTIZATION_KEYS):
        raise BaseModelError(f"{name} holds quantized weights, which can't be pruned; give the original model.")
    if config.get("use_sliding_window"):  # pruning measures with the whole context
        raise BaseModelError(f"{name} attends to a sliding window, which is not supported; give another base.")


def read_base_config(folder: Path, name: str = "") -> dict[str, Any]:
    """Return config.json of a Llama- or Qwen2-shaped model; raises BaseModelError for any other.

    `name` is what the user calls the model, if that is not the folder.
    """
    document = with_rope_theta(read_object(folder / "config.json"))
    check_prunable(document, name or str(folder))
    try:
        check_sizes(document)
    except ValueError as error:
        raise BaseModelError(f"{folder / 'config.json'} can't be read ({error}); fetch the model again.") from error
    return document


def read_servable_config(folder: Path, name: str) -> dict[str, Any]:
    """Return config.json of a model whose sub-models can be served; raises BaseModelError for any other.

    The weights need not be there. `name` is what the user calls the model.
    """
    document = read_base_config(folder, name)
    if what := unsupported(document):
        raise BaseModelError(f"{name} has {what}, which can't be served; give another base with --base.")
    if not is_byte_level(read_object(folder / "tokenizer.json")):
        raise BaseModelError(
            f"The tokenizer of {name} is no byte-level BPE (SentencePiece, say), so that its vocabulary can't be "
            "trimmed; give another base with --base."
        )
    return document


def is_byte_level(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is of a byte-level BPE vocabulary.

    Not by the 256 byte tokens: SmolLM2's own vocabulary lacks some that no UTF-8 text has.
    """
    model = tokenizer.get("model")
    is_bpe = isinstance(model, Mapping) and model.get("type") == "BPE"
    return is_bpe and "ByteLevel" in json.dumps(tokenizer.get("decoder"))


def read_object(path: Path) -> dict[str, Any]:
    """Read a file of a model that holds one JSON object; raises BaseModelError."""
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise BaseModelError(f"{path} can't be read: {first_line(error)}; fetch it again.") from error
    if not isinstance(document, dict):
        raise BaseModelError(f"{path} holds no JSON object; fetch it again.")
    return document


def read_tokenizer_settings(folder: Path) -> dict[str, Any]:
    """Read tokenizer_config.json of a model folder; {} if there is none. Raises BaseModelError."""
    path = folder / "tokenizer_config.json"
    return read_object(path) if path.is_file() else {}

"""Makes genai_config.json, which onnxruntime-genai needs to load a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.bundle.manifest import MODEL_FILE
from exporters.checkpoint_reader import DecoderShape


def make_genai_config(shape: DecoderShape, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration for a decode graph of `shape`; special token ids come from `config`."""
    eos = config.get("eos_token_id")
    first_eos = eos[0] if isinstance(eos, list) and eos else eos
    special = {
        "bos_token_id": config.get("bos_token_id"),
        "eos_token_id": eos,
        # It pads batches. If a model has none, its end token serves, as in other libraries.
        "pad_token_id": first_eos if config.get("pad_token_id") is None else config["pad_token_id"],
    }
    return {
        "model": {
            "type": shape.model_type,
            "vocab_size": shape.vocab_size,
            "context_length": shape.max_positions,
            **{name: value for name, value in special.items() if value is not None},
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": MODEL_FILE,
                "head_size": shape.head_dim,
                "hidden_size": shape.hidden_size,
                "num_attention_heads": shape.heads,
                "num_hidden_layers": shape.layers,
                "num_key_value_heads": shape.kv_heads,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "do_sample": False,
            "max_length": shape.max_positions,
            "num_beams": 1,
            "past_present_share_buffer": True,
        },
    }

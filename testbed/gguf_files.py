"""GGUF files of two random layers, written by gguf-py: a writer that shares no line with our reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PretrainedConfig, PreTrainedModel

from testbed.models import make_model
from testbed.tokenizer import FIM_TOKENS, make_tokenizer

Array = NDArray[Any]
Tensors = dict[str, tuple[Array, GGMLQuantizationType]]
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
SPECIAL = ("<|endoftext|>", *FIM_TOKENS)
PADDING_ROWS = 5


def gguf_name(name: str) -> str:
    """Return the name that llama.cpp's converter gives a tensor of transformers."""
    parts = name.split(".")
    if parts[1] != "layers":
        return {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}[
            ".".join(parts[:-1])
        ] + f".{parts[-1]}"
    return f"blk.{parts[2]}.{NAMES['.'.join(parts[3:-1])]}.{parts[-1]}"


def permuted(weights: Array, heads: int) -> Array:
    """As llama.cpp's converter reorders the rows of q and k for rotation."""
    half = weights.shape[0] // heads // 2
    return weights.reshape(heads, 2, half, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def tensors_of(model: PreTrainedModel, quantization: GGMLQuantizationType = GGMLQuantizationType.F32) -> Tensors:
    """What a converter would write: GGUF name to raw data and type; padding rows below the vocabulary."""
    config, tensors = model.config, {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        data = tensor.float().numpy()
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            data = np.concatenate([data, np.full((PADDING_ROWS, data.shape[1]), 7, np.float32)])
        if config.model_type == "llama" and "q_proj" in name:
            data = permuted(data, config.num_attention_heads)
        if config.model_type == "llama" and "k_proj" in name:
            data = permuted(data, config.num_key_value_heads)
        kind = quantization if data.ndim == 2 else GGMLQuantizationType.F32
        tensors[gguf_name(name)] = (quantize(data, kind), kind)
    return tensors


def metadata_of(config: PretrainedConfig, tokenizer: Tokenizer) -> dict[str, tuple[str, object]]:
    """Key to GGUFWriter's method suffix and value."""
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    kinds = [3 if token in SPECIAL else 1 for token in tokens]
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    arch = config.model_type
    return {
        "general.license": ("string", "mit"),
        f"{arch}.block_count": ("uint32", config.num_hidden_layers),
        f"{arch}.context_length": ("uint32", config.max_position_embeddings),
        f"{arch}.embedding_length": ("uint32", config.hidden_size),
        f"{arch}.feed_forward_length": ("uint32", config.intermediate_size),
        f"{arch}.attention.head_count": ("uint32", config.num_attention_heads),
        f"{arch}.attention.head_count_kv": ("uint32", config.num_key_value_heads),
        f"{arch}.rope.freq_base": ("float32", config.rope_theta),
        f"{arch}.attention.layer_norm_rms_epsilon": ("float32", config.rms_norm_eps),
        "tokenizer.ggml.model": ("string", "gpt2"),
        "tokenizer.ggml.pre": ("string", "gpt-2"),
        "tokenizer.ggml.tokens": ("array", tokens + [f"[PAD{len(tokens) + i}]" for i in range(PADDING_ROWS)]),
        "tokenizer.ggml.token_type": ("array", kinds + [5] * PADDING_ROWS),
        "tokenizer.ggml.merges": ("array", merges),
        "tokenizer.ggml.eos_token_id": ("uint32", tokenizer.token_to_id("<|endoftext|>")),
        "tokenizer.ggml.add_bos_token": ("bool", False),
    }


def write_gguf(
    path: Path,
    architecture: str,
    metadata: Mapping[str, tuple[str, object]],
    tensors: Mapping[str, tuple[Array, GGMLQuantizationType]],
) -> Path:
    """Write a file of that metadata (`metadata_of`) and these tensors (`tensors_of`); return its path."""
    writer = GGUFWriter(path, architecture)
    for key, (kind, value) in metadata.items():
        getattr(writer, f"add_{kind}")(key, value)
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_parts(
    kind: str = "llama", *, is_tied: bool = True, quantization: GGMLQuantizationType = GGMLQuantizationType.F32
) -> tuple[PreTrainedModel, Tokenizer, dict[str, tuple[str, object]], Tensors]:
    """A model, its tokenizer, and what their GGUF file holds, to be spoiled before `write_gguf`."""
    tokenizer = make_tokenizer()
    model = make_model(tokenizer.get_vocab_size(), kind=kind, is_tied=is_tied)
    with torch.no_grad():  # norms and biases at 1 and 0 would hide a mix-up
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) / 10)
    return model, tokenizer, metadata_of(model.config, tokenizer), tensors_of(model, quantization)

"""The model that a GGUF file carries, as a transformers model: configuration and dequantized weights.

It covers the architectures "llama" and "qwen2". Weights are dequantized in slices by gguf-py's formulas straight into
tensors of the wanted type, so that a load needs the model's own size and a few megabytes more. The model is made
without random initialization: its skeleton has no storage, and the tensors are put in its place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from transformers import PreTrainedModel

from builder.bases.folder_model import ARCHITECTURES
from builder.bases.model_config import HEAD_STEP, MAX_LAYERS
from builder.gguf.reader import GgufFile, TensorInfo
from builder.gguf.tokenizer import vocabulary
from contract.errors import BaseModelError

SLICE_ELEMENTS: Final = 1 << 20  # 4 MiB of fp32: stays near the cache, and numpy's overhead a call is small
GROUP_ROWS: Final = 16  # gguf-py works on this many rows at once
THREADS: Final = 2  # numpy's loops let go of the interpreter; more cores than two wait for memory
SAMPLED_ROWS: Final = 256  # enough to tell two copies of a matrix (nearly equal) from two matrices (unrelated)
SAME_MATRIX_TOLERANCE: Final = 0.25  # relative distance; Q4_0 against Q8_0 of one matrix is 0.1, unrelated ones 1.4

OUTER_TENSORS: Final = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_TENSORS: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
EMBEDDING: Final = "token_embd.weight"
HEAD: Final = "output.weight"


def read_model(gguf: GgufFile, *, dtype: torch.dtype) -> PreTrainedModel:
    """Load the whole model on the CPU, in evaluation mode.

    The rows that no token has (`[PAD…]`) are dropped. A file with two copies of one tied matrix is tied to the better
    copy. Raises BaseModelError for what can't be read faithfully.
    """
    _check_architecture(gguf)
    sources = _sources(gguf)
    is_tied = _is_tied(gguf)
    if is_tied:
        sources.pop("lm_head.weight", None)
        sources["model.embed_tokens.weight"] = _better_copy(gguf)
    config, model_class = _configuration(gguf, is_tied)
    with torch.device("meta"):  # no storage, no random numbers
        model = model_class(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if is_tied:
        del shapes["lm_head.weight"]
    _check_shapes(gguf, sources, shapes)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}

    def load(name: str) -> torch.Tensor:
        weight = _dequantized(gguf, sources[name], shapes[name], dtype)
        part = name.split(".")[-2]
        return _unpermuted(weight, heads[part]) if config.model_type == "llama" and part in heads else weight

    with ThreadPoolExecutor(THREADS) as pool:
        state = dict(zip(sources, pool.map(load, sources), strict=True))
    model.load_state_dict(state, strict=not is_tied, assign=True)
    model.tie_weights()
    # Its frequencies are no part of a checkpoint, so that they are still without storage: make it anew from the config.
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    model.eval()
    return cast(PreTrainedModel, model)


def count_parameters(gguf: GgufFile) -> int:
    """How many weights `read_model` loads, about: the rows that no token has are counted, too."""
    is_tied = _is_tied(gguf)
    return sum(math.prod(tensor.shape) for name, tensor in gguf.tensors.items() if not (is_tied and name == HEAD))


def _check_architecture(gguf: GgufFile) -> None:
    name = gguf.require("general.architecture", str)
    if name not in ARCHITECTURES:
        raise BaseModelError(
            f"The GGUF file {gguf.path} has the architecture {name!r}; only {' and '.join(ARCHITECTURES)} can be read; "
            "give another base with --base."
        )
    # What shares these architectures' names but computes otherwise:
    if _is_rope_scaled(gguf, name) or "rope_freqs.weight" in gguf.tensors:
        raise BaseModelError(
            f"The GGUF file {gguf.path} stretches its positions (RoPE scaling), which is not supported; take another "
            "model."
        )
    if gguf.optional(f"{name}.expert_count", int, 0):
        raise BaseModelError(
            f"The GGUF file {gguf.path} is a mixture of experts, which is not supported; take another."
        )


def _is_rope_scaled(gguf: GgufFile, name: str) -> bool:
    """As llama.cpp reads it (src/llama-model.cpp): scaling is linear unless a type is named; a factor of 0 is none."""
    kind = gguf.optional(f"{name}.rope.scaling.type", str, "linear")
    older = gguf.optional(f"{name}.rope.scale_linear", float, 0.0)
    factor = gguf.optional(f"{name}.rope.scaling.factor", float, older)
    return factor not in (0.0, 1.0) if kind == "linear" else kind != "none"


def _configuration(gguf: GgufFile, is_tied: bool) -> tuple[Any, type[Any]]:
    name = gguf.require("general.architecture", str)
    config_class, model_class = ARCHITECTURES[name]
    hidden_size, ffn_size, layers, heads, kv_heads, head_size = _sizes(gguf, name)
    rope_theta = gguf.optional(f"{name}.rope.freq_base", float, 10_000.0)
    epsilon = _shortest_float32(gguf.require(f"{name}.attention.layer_norm_rms_epsilon", float))
    if not (1 < rope_theta < math.inf and 0 < epsilon < 1):
        raise BaseModelError(
            f"The GGUF file {gguf.path} has a bad RoPE base ({rope_theta}) or a bad epsilon ({epsilon}); convert the "
            "model again."
        )
    tokens, _ = vocabulary(gguf)
    if name == "llama" and any(f"blk.0.{part}.bias" in gguf.tensors for part in ("attn_q", "ffn_up")):
        raise BaseModelError(f"The GGUF file {gguf.path} is a Llama with biases, which no export knows; take another.")
    config = config_class(
        vocab_size=len(tokens),
        hidden_size=hidden_size,
        intermediate_size=ffn_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_size,
        max_position_embeddings=gguf.require(f"{name}.context_length", int),
        rope_theta=rope_theta,
        rms_norm_eps=epsilon,
        tie_word_embeddings=is_tied,
        bos_token_id=None,  # the tokenizer's business; the classes' defaults would name tokens of other models
        eos_token_id=None,
        pad_token_id=None,
        architectures=[model_class.__name__],
    )
    return config, model_class


def _sizes(gguf: GgufFile, name: str) -> tuple[int, int, int, int, int, int]:
    """Hidden size, FFN size, layers, heads, key/value heads, head size; believed only where the first layer agrees.

    Without that a broken count would have transformers build a model of any size before the shapes are compared.
    """
    hidden_size = gguf.require(f"{name}.embedding_length", int)
    ffn_size = gguf.require(f"{name}.feed_forward_length", int)
    layers = gguf.require(f"{name}.block_count", int)
    heads = gguf.require(f"{name}.attention.head_count", int)
    kv_heads = gguf.optional(f"{name}.attention.head_count_kv", int, heads)
    if min(hidden_size, ffn_size, layers, heads, kv_heads) < 1 or heads % kv_heads or layers > MAX_LAYERS:
        raise BaseModelError(
            f"The GGUF file {gguf.path} claims {layers} layers of {heads} heads, {kv_heads} for keys and values, and "
            f"{hidden_size} and {ffn_size} channels, which makes no model; convert the model again."
        )
    head_size = gguf.optional(f"{name}.attention.key_length", int, hidden_size // heads)
    rotated = gguf.optional(f"{name}.rope.dimension_count", int, head_size)
    if rotated != head_size or gguf.optional(f"{name}.attention.value_length", int, head_size) != head_size:
        raise BaseModelError(f"The GGUF file {gguf.path} rotates only a part of each head; take another.")
    promised = {
        "blk.0.attn_q.weight": (heads * head_size, hidden_size),
        "blk.0.attn_k.weight": (kv_heads * head_size, hidden_size),
        "blk.0.ffn_up.weight": (ffn_size, hidden_size),
    }
    for tensor_name, expected in promised.items():
        if tensor_name not in gguf.tensors:
            raise BaseModelError(f"The GGUF file {gguf.path} has no tensor {tensor_name!r}; convert the model again.")
        _check_shape(gguf, gguf.tensors[tensor_name], expected)
    if head_size < 1 or head_size % HEAD_STEP:  # else a long build would end in a refusal
        raise BaseModelError(
            f"The GGUF file {gguf.path} has heads of {head_size} channels, and ONNX Runtime attends with multiples of "
            f"{HEAD_STEP} only; take another model."
        )
    return hidden_size, ffn_size, layers, heads, kv_heads, head_size


def _shortest_float32(value: float) -> float:
    """1e-05 for the 9.999999747378752e-06 that a 32-bit field gives back."""
    return float(str(np.float32(value)))


def _sources(gguf: GgufFile) -> dict[str, TensorInfo]:
    """The file's tensors by the names that transformers gives them; raises where one has no place."""
    sources: dict[str, TensorInfo] = {}
    for name, tensor in gguf.tensors.items():
        stem, _, kind = name.rpartition(".")
        if stem in OUTER_TENSORS:
            sources[f"{OUTER_TENSORS[stem]}.{kind}"] = tensor
            continue
        block, _, part = stem.removeprefix("blk.").partition(".")
        if not stem.startswith("blk.") or not block.isdecimal() or part not in LAYER_TENSORS:
            raise BaseModelError(
                f"The GGUF file {gguf.path} holds the tensor {name!r}, which Llama and Qwen2 models don't have; take "
                "another model."
            )
        sources[f"model.layers.{int(block)}.{LAYER_TENSORS[part]}.{kind}"] = tensor
    return sources


def _check_shapes(gguf: GgufFile, sources: dict[str, TensorInfo], shapes: dict[str, tuple[int, ...]]) -> None:
    """Every tensor of the model is there, none is left over, and all have the shapes that the metadata promise."""
    missing, surplus = sorted(shapes.keys() - sources.keys()), sorted(sources.keys() - shapes.keys())
    if missing or surplus:
        what = f"lacks {missing[0]!r}" if missing else f"holds {surplus[0]!r}, which its metadata have no place for"
        raise BaseModelError(f"The GGUF file {gguf.path} {what}; convert the model again.")
    for name, expected in shapes.items():
        has_token_rows = name in {"model.embed_tokens.weight", "lm_head.weight"}
        _check_shape(gguf, sources[name], expected, more_rows=has_token_rows)  # the rows that no token has come last


def _check_shape(gguf: GgufFile, tensor: TensorInfo, expected: tuple[int, ...], *, more_rows: bool = False) -> None:
    fits = tensor.shape == expected
    if more_rows and len(tensor.shape) == len(expected):
        fits = tensor.shape[0] >= expected[0] and tensor.shape[1:] == expected[1:]
    if not fits:
        raise BaseModelError(
            f"In the GGUF file {gguf.path} the tensor {tensor.name!r} has the shape {list(tensor.shape)}, and the rest "
            f"of the file promises {list(expected)}; convert the model again."
        )


def _is_tied(gguf: GgufFile) -> bool:
    """Whether input and output share one matrix. Some converters write both copies, each quantized in its own way."""
    if EMBEDDING not in gguf.tensors:
        raise BaseModelError(f"The GGUF file {gguf.path} has no tensor {EMBEDDING!r}; convert the model again.")
    if HEAD not in gguf.tensors:
        return True
    embedding, head = gguf.tensors[EMBEDDING], gguf.tensors[HEAD]
    if embedding.shape != head.shape or len(head.shape) != 2:
        return False
    rows = (min(SAMPLED_ROWS, head.shape[0]), head.shape[1])
    first = _dequantized(gguf, embedding, rows, torch.float32)
    second = _dequantized(gguf, head, rows, torch.float32)
    return bool((first - second).norm() <= SAME_MATRIX_TOLERANCE * second.norm())


def _better_copy(gguf: GgufFile) -> TensorInfo:
    """The copy of the tied matrix that spends more bits a weight."""
    copies = [gguf.tensors[name] for name in (HEAD, EMBEDDING) if name in gguf.tensors]
    return max(copies, key=lambda tensor: tensor.size)


def _unpermuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Undo llama.cpp's order of rotary channels: it pairs neighbours (0, 1), transformers pairs halves (0, d/2).

    `weight`: (heads · head_size, …), rows of one head together. Source: `permute` in convert_hf_to_gguf.py.
    """
    half = weight.shape[0] // heads // 2
    pairs = weight.reshape(heads, half, 2, *weight.shape[1:])
    return pairs.transpose(1, 2).reshape(weight.shape).contiguous()


def _dequantized(gguf: GgufFile, tensor: TensorInfo, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """The tensor's first `shape` rows (all of it but for the vocabulary) in `dtype`."""
    out = torch.empty(shape, dtype=dtype)
    flat = out.view(-1)
    position = 0
    for values in _slices(gguf, tensor, flat.numel()):
        flat[position : position + values.size].copy_(torch.from_numpy(values))
        position += values.size
    return out


def _slices(gguf: GgufFile, tensor: TensorInfo, elements: int) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
    """fp32 values in file order, about SLICE_ELEMENTS at a time; `elements` is a multiple of the row length."""
    block_elements, block_bytes = GGML_QUANT_SIZES[tensor.quantization]
    raw = gguf.raw(tensor)[: elements // block_elements * block_bytes]
    step = SLICE_ELEMENTS // block_elements * block_bytes
    for start in range(0, raw.size, step):
        piece = raw[start : start + step]
        # A slice in as many rows as gguf-py takes at once: one group, whatever the matrix's own rows are.
        rows = GROUP_ROWS if piece.size % (GROUP_ROWS * block_bytes) == 0 else 1
        values = _dequantized_slice(gguf, tensor, piece.reshape(rows, -1))
        yield values.reshape(-1)


def _dequantized_slice(
    gguf: GgufFile, tensor: TensorInfo, piece: np.ndarray[Any, np.dtype[np.uint8]]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        values: np.ndarray[Any, np.dtype[np.float32]] = dequantize(piece, tensor.quantization)
    except NotImplementedError as error:
        raise BaseModelError(
            f"The GGUF file {gguf.path} quantizes {tensor.name!r} as {tensor.quantization.name}, which can't be read; "
            "take a file of another quantization, such as Q8_0 or Q4_K_M."
        ) from error
    if not np.isfinite(values).all():
        raise BaseModelError(
            f"In the GGUF file {gguf.path} the tensor {tensor.name!r} holds values that are no finite numbers; fetch "
            "the file again."
        )
    if tensor.quantization == GGMLQuantizationType.F32:
        return np.array(values)  # a view of the file otherwise
    return values

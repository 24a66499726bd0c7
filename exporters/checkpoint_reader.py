"""Reads a checkpoint as the decode graph needs it: its shape from config.json, its tensors one at a time.

Llama- and Qwen2-shaped decoders in safetensors files of any floating type are supported. Everything that the decode
graph does not do is refused here, by name, since a graph that leaves something out would give wrong answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from builder.bases.model_config import HEAD_STEP, check_sizes, unsupported, with_rope_theta
from builder.bases.prompt_tokens import with_control_tokens_special
from builder.bases.weight_index import INDEX, WEIGHTS, read_weight_index
from contract.errors import BaseModelError, ExportError
from contract.files.disk_errors import is_out_of_memory
from contract.files.untrusted_json import read_json
from contract.tokenizer_file import TokenizerError, read_tokenizer_file

EMBEDDING, HEAD, FINAL_GAIN = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
MAX_POSITIONS = 8192  # the rotary tables' length: 2 MB at 8,192; editors' prompts are far shorter

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DecoderShape:
    """The numbers of a Llama- or Qwen2-shaped decoder, by config.json."""

    model_type: str
    layers: int
    hidden_size: int
    ffn_width: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    max_positions: int  # of the graph: the config's context or MAX_POSITIONS, whichever is less
    rope_theta: float
    norm_epsilon: float
    is_tied: bool

    @property
    def qkv_width(self) -> int:
        """Columns of the packed query, key and value projection."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def parameters(self) -> int:
        """How many weights it has, biases aside."""
        return sum(map(prod, _expected_shapes(self).values()))


def read_tokenizer(folder: Path) -> Tokenizer:
    """Read tokenizer.json of a model folder, its control tokens special, as a server needs it. Raises ExportError."""
    path = folder / "tokenizer.json"
    try:
        return with_control_tokens_special(read_tokenizer_file(path))
    except TokenizerError as error:
        raise ExportError(f"The tokenizer {path} can't be read: {error}.") from error


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json of a model folder; raise ExportError if `folder` is none."""
    path = folder / "config.json"
    hint = "give the folder of a transformers checkpoint (config.json beside *.safetensors)"
    try:
        config = read_json(path)
    except OSError as error:
        raise ExportError(f"{folder} is no model: its config.json can't be read ({error.strerror}); {hint}.") from error
    except ValueError as error:  # not UTF-8, or not JSON
        raise ExportError(f"{path} is not valid JSON ({error}); {hint}.") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ExportError(f"{path} names no model_type; {hint}.")
    return with_rope_theta(config)


def read_shape(config: Mapping[str, Any], folder: Path) -> DecoderShape:
    """Return the decoder's numbers; raise ExportError naming what the decode graph does not do."""
    if what := unsupported(config):
        raise ExportError(
            f"The model in {folder} has {what}, which the decode graph does not support; take another, or "
            "`submodel export --quantize fp32`, which goes through optimum."
        )
    try:
        heads = int(config["num_attention_heads"])
        hidden_size = int(config["hidden_size"])
        shape = DecoderShape(
            model_type=str(config["model_type"]),
            layers=int(config["num_hidden_layers"]),
            hidden_size=hidden_size,
            ffn_width=int(config["intermediate_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or hidden_size // heads),
            vocab_size=int(config["vocab_size"]),
            max_positions=min(int(config.get("max_position_embeddings", 2048)), MAX_POSITIONS),
            rope_theta=float(config.get("rope_theta", 10000.0)),
            norm_epsilon=float(config.get("rms_norm_eps", 1e-6)),
            is_tied=bool(config.get("tie_word_embeddings", False)),
        )
        check_sizes(config)
    except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise ExportError(
            f"{folder / 'config.json'} lacks or misstates a number of the decoder ({error!r}); fetch or build the "
            "model again."
        ) from error
    if shape.heads % shape.kv_heads or shape.head_dim % 2:
        raise ExportError(
            f"{folder / 'config.json'} has {shape.heads} heads of {shape.head_dim} on {shape.kv_heads} key-value "
            "heads, which does not divide; the file is damaged or of another architecture."
        )
    if shape.head_dim % HEAD_STEP:
        raise ExportError(
            f"The model in {folder} has heads of {shape.head_dim}, and ONNX Runtime attends with multiples of "
            f"{HEAD_STEP} only; name another base."
        )
    return shape


class Checkpoint:
    """The tensors of a model folder, read one at a time and given as float32.

    on_read: is called after each reading. The constructor raises ExportError if the tensors are not those of a Llama-
    or Qwen2-shaped decoder.
    """

    is_rotated = False  # whether the norms have unit gains and their outputs no outliers (`exporters.rotation`)

    def __init__(self, folder: Path, on_read: Callable[[], None] = lambda: None) -> None:
        self.folder, self._on_read = folder, on_read
        self.config = read_config(folder)
        self.shape = read_shape(self.config, folder)
        self._file_of = _tensor_files(folder)
        self._check_tensors()

    @property
    def names(self) -> frozenset[str]:
        """The names of all tensors."""
        return frozenset(self._file_of)

    def has(self, name: str) -> bool:
        """Return whether the checkpoint holds a tensor of this name."""
        return name in self._file_of

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, without reading it."""
        with self._opened(name) as file:
            return tuple(file.get_slice(name).get_shape())

    def read(self, *names: str) -> FloatArray:
        """Read the named tensors in float32, stacked along their first axis (the outputs, for a projection)."""
        return np.concatenate([self._read(name) for name in names]) if len(names) > 1 else self._read(names[0])

    def _read(self, name: str) -> FloatArray:
        with self._opened(name) as file:
            array: FloatArray = file.get_tensor(name).to(torch.float32).numpy()
        self._on_read()
        return array

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        """Open the file of a tensor; raise ExportError if it is cut off or lacks the tensor.

        The error of a lack of memory stays as it is, here and in `_tensor_files`.
        """
        path = self._file_of[name]
        try:
            with safe_open(path, framework="pt") as file:
                yield file
        except (OSError, SafetensorError) as error:
            if is_out_of_memory(error):
                raise
            raise ExportError(
                f"The tensor {name} can't be read from {path}: {error}; fetch or build the model again."
            ) from error

    def _check_tensors(self) -> None:
        expected = _expected_shapes(self.shape)
        biases = {
            f"model.layers.{layer}.self_attn.{part}_proj.bias": (size * self.shape.head_dim,)
            for layer in range(self.shape.layers)
            for part, size in (("q", self.shape.heads), ("k", self.shape.kv_heads), ("v", self.shape.kv_heads))
        }
        if biases.keys() & self._file_of.keys():
            expected |= biases  # all or none
        ignored = {name for name in self._file_of if name.endswith("rotary_emb.inv_freq")}
        if self.shape.is_tied:
            ignored.add(HEAD)  # some writers store the tied matrix twice
        if missing := expected.keys() - self._file_of.keys():
            raise ExportError(
                f"The model in {self.folder} lacks {len(missing)} tensors, first {min(missing)}; fetch or build it "
                "again."
            )
        if foreign := self._file_of.keys() - expected.keys() - ignored:
            raise ExportError(
                f"The model in {self.folder} has {len(foreign)} tensors that the decode graph does not know, "
                f"first {min(foreign)}; only Llama- and Qwen2-shaped decoders can be exported."
            )
        for name, shape in expected.items():
            found = self.shape_of(name)
            if found != shape:
                raise ExportError(
                    f"The tensor {name} in {self._file_of[name]} has the shape {found}, and config.json wants "
                    f"{shape}; fetch or build the model again."
                )


def _expected_shapes(shape: DecoderShape) -> dict[str, tuple[int, ...]]:
    hidden, ffn = shape.hidden_size, shape.ffn_width
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    expected: dict[str, tuple[int, ...]] = {
        EMBEDDING: (shape.vocab_size, hidden),
        FINAL_GAIN: (hidden,),
    }
    if not shape.is_tied:
        expected[HEAD] = (shape.vocab_size, hidden)
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        expected |= {
            f"{prefix}.input_layernorm.weight": (hidden,),
            f"{prefix}.post_attention_layernorm.weight": (hidden,),
            f"{prefix}.self_attn.q_proj.weight": (queries, hidden),
            f"{prefix}.self_attn.k_proj.weight": (keys, hidden),
            f"{prefix}.self_attn.v_proj.weight": (keys, hidden),
            f"{prefix}.self_attn.o_proj.weight": (hidden, queries),
            f"{prefix}.mlp.gate_proj.weight": (ffn, hidden),
            f"{prefix}.mlp.up_proj.weight": (ffn, hidden),
            f"{prefix}.mlp.down_proj.weight": (hidden, ffn),
        }
    return expected


def _tensor_files(folder: Path) -> dict[str, Path]:
    """Tensor name → the safetensors file that holds it."""
    single = folder / WEIGHTS
    try:
        if single.is_file():
            with safe_open(single, framework="pt") as file:
                return dict.fromkeys(file.keys(), single)
        if (folder / INDEX).is_file():
            return read_weight_index(folder)
    except BaseModelError as error:
        raise ExportError(str(error)) from error
    except (OSError, SafetensorError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise ExportError(f"The weights in {folder} can't be read: {error}; fetch or build the model again.") from error
    raise ExportError(
        f"{folder} is no model: it has neither {WEIGHTS} nor {INDEX}; save it with safetensors "
        "(transformers' save_pretrained does)."
    )

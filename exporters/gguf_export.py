"""Exports a checkpoint as one GGUF file, so that llama.cpp and the editors' plug-ins for it run the same sub-model.

Llama- and Qwen2-shaped decoders are written in F32, F16 and Q8_0, one weight at a time. Our own reader reads the file
back before it takes its place: the file's tokenizer has to split texts into the same tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gguf
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quantize

from builder.artifact import SubModel, read_artifact
from builder.bases.catalogue import MODEL_TYPES
from builder.gguf.reader import open_gguf
from builder.gguf.tokenizer import read_tokenizer
from builder.gguf.weights import LAYER_TENSORS, OUTER_TENSORS
from contract.errors import BaseModelError, ExportError
from contract.files.whole_files import check_no_device, replace_file
from contract.progress import OnProgress, no_progress
from contract.prompt import PromptFormat
from contract.tokenizer_file import read_tokenizer_file
from exporters.checkpoint_reader import HEAD, Checkpoint, FloatArray, read_config
from exporters.gguf_tokenizer import PROBE, GgufVocabulary, read_vocabulary
from exporters.precision import Precision

QUANTIZATION_VERSION: Final = gguf.GGML_QUANT_VERSION
# llama.cpp shows these and does not use them; the last two are as PromptFormat has them.
MARK: Final = "submodel.schema"  # a file that has it is ours and may be replaced
SCHEMA: Final = 1
SUFFIX_FIRST: Final = "submodel.prompt.suffix_first"
PATH_FIRST: Final = "submodel.prompt.path_first"


# The precisions of a GGUF file; gains and biases stay float32 in all. Q8_0 has a scale for each 32 weights.
KINDS: Final = {
    Precision.FP32: (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    Precision.FP16: (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    Precision.INT8: (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    """A tensor of the file, read only when it is written."""

    name: str
    shape: tuple[int, ...]  # in numpy's order
    kind: GGMLQuantizationType
    read: Callable[[], FloatArray]

    @property
    def bytes(self) -> int:
        elements, size = GGML_QUANT_SIZES[self.kind]
        return int(math.prod(self.shape) // elements * size)


def parse_gguf_precision(name: str) -> Precision:
    """Return the precision of this name; raise ExportError naming the known ones if there is none for GGUF."""
    if name not in KINDS:
        raise ExportError(
            f"A GGUF file can't be written in {name!r}; choose one of: {', '.join(KINDS)} (int8 is Q8_0)."
        )
    return Precision(name)


def export_gguf(
    model_folder: Path,
    path: Path,
    precision: Precision = Precision.INT8,
    *,
    on_progress: OnProgress = no_progress,
) -> Path:
    """Write the checkpoint in `model_folder` to the GGUF file `path`, whole or not at all; return `path`.

    `on_progress` gets the tensors written and their total. Raises ExportError if the model or its tokenizer does not
    fit llama.cpp, or if the file can't be written, and BuildError if `model_folder` is no model.
    """
    source = read_artifact(model_folder)
    config = read_config(model_folder)
    if config["model_type"] not in MODEL_TYPES:
        raise ExportError(
            f"The model in {model_folder} is of the type {config['model_type']!r}; only {' and '.join(MODEL_TYPES)} "
            "can be written as GGUF here; llama.cpp's own converter knows more."
        )
    checkpoint = Checkpoint(model_folder)
    end_token = source.prompt.end_token if source.manifest is not None else None
    vocabulary = read_vocabulary(model_folder, config, end_token, checkpoint.shape.vocab_size)
    tensors = list(_tensors(checkpoint, precision))
    _refuse_foreign(path)
    try:
        with replace_file(path) as fresh:
            writer = GGUFWriter(fresh, checkpoint.shape.model_type)
            _add_metadata(writer, source, checkpoint, vocabulary, precision)
            _write(writer, tensors, on_progress)
            _check_tokens(fresh, source)
    except OSError as error:
        raise ExportError(
            f"{path} can't be written ({error.strerror or error}); free space or choose another file with -o."
        ) from error
    return path


def _refuse_foreign(path: Path) -> None:
    check_no_device(path, "-o", ExportError)
    if path.is_dir():
        raise ExportError(f"{path} is a folder; name a file with -o, such as {path / 'model.gguf'}.")
    if path.exists() and path.stat().st_size:
        try:
            with open_gguf(path) as found:
                is_ours = MARK in found.metadata
        except BaseModelError:
            is_ours = False
        if not is_ours:
            raise ExportError(f"{path} has no mark of submodel; remove it, or choose another file with -o.")


def _tensors(checkpoint: Checkpoint, precision: Precision) -> Iterator[_Tensor]:
    shape = checkpoint.shape
    wide, _ = KINDS[precision]
    heads = {"attn_q": shape.heads, "attn_k": shape.kv_heads}
    names = [(f"{stem}.weight", f"{name}.weight") for stem, name in OUTER_TENSORS.items()]
    for layer in range(shape.layers):
        for stem, name in LAYER_TENSORS.items():
            for kind in ("weight", "bias"):
                names.append((f"blk.{layer}.{stem}.{kind}", f"model.layers.{layer}.{name}.{kind}"))
    for gguf_name, name in names:
        if not checkpoint.has(name) or (name == HEAD and shape.is_tied):
            continue
        size = checkpoint.shape_of(name)
        kind = wide if len(size) == 2 else GGMLQuantizationType.F32
        if size[-1] % GGML_QUANT_SIZES[kind][0]:
            raise ExportError(f"{name} has {size[-1]} inputs, which Q8_0's blocks of 32 don't divide; take fp16.")
        part = gguf_name.split(".")[-2]
        count = heads.get(part) if shape.model_type == "llama" else None

        def read(name: str = name, count: int | None = count) -> FloatArray:
            values = checkpoint.read(name)
            return values if count is None else _permuted(values, count)

        yield _Tensor(name=gguf_name, shape=size, kind=kind, read=read)


def _permuted(values: FloatArray, heads: int) -> FloatArray:
    """Reorder rotary channels for llama.cpp, which pairs neighbours (0, 1) where transformers pairs halves (0, d/2).

    values: (heads · head_dim, …). Source: `permute` in llama.cpp's convert_hf_to_gguf.py; Qwen2 keeps the halves.
    """
    half = values.shape[0] // heads // 2
    return values.reshape(heads, 2, half, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def _add_metadata(
    writer: GGUFWriter, source: SubModel, checkpoint: Checkpoint, vocabulary: GgufVocabulary, precision: Precision
) -> None:
    shape = checkpoint.shape
    base = (source.manifest or {}).get("base")
    name = base.get("name") if isinstance(base, dict) else None
    licence = (source.manifest or {}).get("licence")
    prompt = PromptFormat() if source.manifest is None else source.prompt
    writer.add_name(f"submodel of {name}" if name else source.folder.name)
    if isinstance(licence, str):
        writer.add_license(licence)
    writer.add_file_type(KINDS[precision][1])
    writer.add_quantization_version(QUANTIZATION_VERSION)
    writer.add_context_length(int(checkpoint.config.get("max_position_embeddings", shape.max_positions)))
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn_width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    for key, token_id in vocabulary.special_ids.items():
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", token_id)
    writer.add_add_bos_token(vocabulary.adds_bos)
    writer.add_uint32(MARK, SCHEMA)
    for key, is_set in ((SUFFIX_FIRST, prompt.suffix_first), (PATH_FIRST, prompt.path_first)):
        if is_set:
            writer.add_bool(key, True)


def _write(writer: GGUFWriter, tensors: list[_Tensor], on_progress: OnProgress) -> None:
    """Write header and tensors, and close the file; each tensor is made as it is written."""
    try:
        for tensor in tensors:
            # With the raw type and a type that is not uint8, the shape is taken as that of the values.
            writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.bytes, raw_dtype=tensor.kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, tensor in enumerate(tensors, start=1):
            writer.write_tensor_data(np.ascontiguousarray(quantize(tensor.read(), tensor.kind)))
            on_progress(done, len(tensors))
        writer.flush()
    finally:
        writer.close()


def _check_tokens(path: Path, source: SubModel) -> None:
    """Read the file back; raise ExportError if it splits a text into other tokens than the model's own tokenizer."""
    own = read_tokenizer_file(source.folder / "tokenizer.json")
    own.encode_special_tokens = True
    with open_gguf(path) as written:
        theirs = read_tokenizer(written).tokenizer
    theirs.encode_special_tokens = True
    texts = [PROBE, *(own.decode(item["prompt_ids"]) for item in source.parity_prompts())]
    for text in texts:
        if own.encode(text, add_special_tokens=False).ids != theirs.encode(text, add_special_tokens=False).ids:
            raise ExportError(
                f"llama.cpp would cut {text[:40]!r} into other tokens than {source.folder / 'tokenizer.json'} does, so "
                "nothing was written; please report this model."
            )

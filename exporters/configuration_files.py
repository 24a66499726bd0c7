"""The files by which other runtimes configure themselves. They say what the graph does and where a completion ends."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.bundle.manifest import MODEL_FILE
from contract.errors import ExportError
from contract.files.untrusted_json import read_json
from contract.files.whole_files import write_json
from exporters.checkpoint_reader import Checkpoint, DecoderShape
from exporters.precision import VARIANT_FILES, Precision

GENERATION_FILE = "generation_config.json"
COPIED_FILES = ("config.json", GENERATION_FILE, "tokenizer_config.json", "special_tokens_map.json")
# What says how many positions a model has; the graph may have fewer (`checkpoint_reader.MAX_POSITIONS`).
POSITION_KEYS = {"config.json": "max_position_embeddings", "tokenizer_config.json": "model_max_length"}

TRANSFORMERS_JS = "transformers.js_config"
# Which dtype of transformers.js chooses a file whose cache may be float16.
DTYPES = {MODEL_FILE: "fp32", VARIANT_FILES[Precision.FP16]: "fp16"}


def write_configs(fresh: Path, checkpoint: Checkpoint, end_ids: Sequence[int]) -> None:
    """Write the configuration files of a bundle; `end_ids` end an answer.

    Raises ExportError if one of the checkpoint's files is no JSON object.
    """
    generation = _read(checkpoint.folder / GENERATION_FILE)
    known = [checkpoint.config.get("eos_token_id"), generation.get("eos_token_id")]
    eos = _one_or_all([*end_ids, *(one for ids in known for one in (ids if isinstance(ids, list) else [ids]))])
    ends = {} if eos is None else {"eos_token_id": eos}
    for name in COPIED_FILES:
        if (checkpoint.folder / name).is_file():
            shutil.copyfile(checkpoint.folder / name, fresh / name)
    if eos != generation.get("eos_token_id", checkpoint.config.get("eos_token_id")):  # the file that wins
        write_json(fresh / GENERATION_FILE, {**generation, **ends})
    for name, key in POSITION_KEYS.items():
        document = _read(checkpoint.folder / name)
        positions, most = document.get(key), checkpoint.shape.max_positions
        if isinstance(positions, int | float) and positions > most:
            write_json(fresh / name, {**document, key: most})
    write_json(fresh / "genai_config.json", _genai_config(checkpoint.shape, {**checkpoint.config, **ends}))


def _genai_config(shape: DecoderShape, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what onnxruntime-genai reads, for a decode graph of `shape`; special token ids come from `config`."""
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


def describe_graphs(fresh: Path, precisions: Mapping[str, str]) -> None:
    """Write into config.json what transformers.js has to know of the graphs; `precisions` by file of the bundle.

    Before 4.2 it passes an empty float32 cache unless the configuration names another, by the dtype of a file.
    It fetches the weights beside a graph only if the configuration names the graph. Another reader ignores the key.
    """
    halves = {DTYPES[file]: "float16" for file, precision in precisions.items() if precision == Precision.FP16}
    beside = [Path(file).name for file in precisions if (fresh / f"{file}_data").is_file()]
    facts = {
        **({"kv_cache_dtype": halves} if halves else {}),
        **({"use_external_data_format": dict.fromkeys(beside, True)} if beside else {}),
    }
    if facts:
        document = _read(fresh / "config.json")
        write_json(fresh / "config.json", {**document, TRANSFORMERS_JS: facts})


def _one_or_all(ids: Sequence[Any]) -> int | list[int] | None:
    """Return the different ones of `ids` that are numbers; a single one as it is, None if there is none."""
    different = list(dict.fromkeys(one for one in ids if type(one) is int))
    return different if len(different) > 1 else next(iter(different), None)


def _read(path: Path) -> dict[str, Any]:
    """Return the document of a file; {} if there is no file."""
    try:
        document = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} can't be read ({error}); fetch or build the model again.") from error
    if not isinstance(document, dict):
        raise ExportError(f"{path} is no JSON object; fetch or build the model again.")
    return document

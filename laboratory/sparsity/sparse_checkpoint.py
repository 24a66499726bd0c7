"""Writes a sparse sub-model: a plain transformers folder with its manifest and its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from builder.artifact import MANIFEST, SCHEMA_VERSION
from builder.bases.load import LoadedBase
from builder.checkpoint_writer import save_tokenizer, write_prompts
from builder.fim_examples import FimExample
from builder.pruning.plan import count_parameters
from builder.versions import installed_versions
from contract.files.folders import replace_folder
from contract.files.whole_files import write_json
from contract.prompt import PromptEncoder
from laboratory.sparsity.mask_file import MASKS, masks_of, write_masks
from laboratory.sparsity.methods import SparsitySettings
from laboratory.sparsity.walk import SparseLayer

# What a user of the folder has to know.
NOTE: Final = (
    "Sparse, not smaller: the zeros are stored like any other weight. No maintained CPU runtime runs it faster than "
    "its base. `submodel build` makes smaller and faster models."
)
_VERSIONED: Final = ("submodel", "torch", "transformers", "tokenizers", "numpy")


def save_sparse(
    folder: Path,
    base: LoadedBase,
    layers: tuple[SparseLayer, ...],
    settings: SparsitySettings,
    parity: Sequence[FimExample],
    manifest: Mapping[str, Any],
    *,
    with_weights: bool = True,
) -> dict[str, Any]:
    """Write the whole folder or nothing, and return its manifest; `base.model` holds the pruned weights.

    manifest: what the caller knows (base, licence, calibration, seeds). Without weights the folder is no model; it
    serves to compare masks.
    """
    document = {
        "schema": SCHEMA_VERSION,
        "kind": "sparse",
        "note": NOTE,
        **manifest,
        "prompt": base.prompt.to_json(),
        "sparsity": summarize(layers, settings),
        "parameters": count_parameters(base.model),
        "zero_parameters": sum(int((~kept).sum()) for layer in layers for kept in layer.kept.values()),
        "versions": installed_versions(_VERSIONED),
    }
    with replace_folder(folder, marker=MANIFEST) as fresh:
        if with_weights:
            base.model.to(torch.bfloat16).save_pretrained(fresh, safe_serialization=True)
            save_tokenizer(fresh, base.tokenizer, base.model)
            write_prompts(fresh, PromptEncoder(base.tokenizer, base.prompt), parity)
        write_masks(fresh / MASKS, masks_of(layers))
        write_json(fresh / MANIFEST, document)
    return document


def summarize(layers: Sequence[SparseLayer], settings: SparsitySettings) -> dict[str, Any]:
    """Return what was asked for and what came of it, for people and manifests."""
    zeros = sum(int((~kept).sum()) for layer in layers for kept in layer.kept.values())
    total = sum(kept.numel() for layer in layers for kept in layer.kept.values())
    return {
        **settings.to_json(),
        "achieved": round(zeros / total, 6),
        "pruned_parameters": total,
        "layer_output_error": [round(layer.output_error, 5) for layer in layers],
    }

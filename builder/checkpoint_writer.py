"""Writes a sub-model as a plain transformers folder, with its manifest, its plan and prompts for the parity check."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from builder.artifact import MANIFEST, PARITY_PROMPTS, SCHEMA_VERSION, SubModel
from builder.corpus.corpus import SourceFile
from builder.fim_examples import FimExample, draw_fim_examples, parity_prompts
from builder.pruning.structured_pruning import Pruned
from builder.versions import installed_versions
from contract.files.folders import replace_folder
from contract.files.whole_files import write_json
from contract.prompt import PromptEncoder

PLAN = "plan.json"
_PARITY_EXAMPLES = 64  # that an export compares precisions on
_VERSIONED = ("submodel", "torch", "transformers", "tokenizers", "numpy")


def parity_examples(files: Sequence[SourceFile], seed: int = 0) -> tuple[FimExample, ...]:
    """What an export is checked on: FIM examples of validation files, for it decides which precision is good enough."""
    return draw_fim_examples(
        [file for file in files if file.split == "validation" and file.is_code], _PARITY_EXAMPLES, seed
    )


def save_checkpoint(folder: Path, pruned: Pruned, parity: Sequence[FimExample], manifest: Mapping[str, Any]) -> None:
    """Write the whole folder or nothing; `manifest` is what the caller knows: base, licence, corpus, seeds, stages."""
    encoder = PromptEncoder(pruned.tokenizer, pruned.prompt)
    with replace_folder(folder, marker=MANIFEST) as fresh:
        _save_model(fresh, pruned.model, encoder)
        save_tokenizer(fresh, pruned.tokenizer, pruned.model)
        write_json(fresh / PLAN, {"kept_token_ids": pruned.plan.kept_token_ids, "channels": pruned.plan.channels})
        write_prompts(fresh, encoder, parity)
        document = {
            "schema": SCHEMA_VERSION,
            **manifest,
            "prompt": pruned.prompt.to_json(),
            "plan": pruned.plan_summary,
            "calibration": pruned.calibration.summary(),
            "parameters": pruned.plan.parameters,
            "versions": installed_versions(_VERSIONED),
        }
        write_json(fresh / MANIFEST, document)


def save_reweighted(
    folder: Path,
    source: SubModel,
    model: PreTrainedModel,
    encoder: PromptEncoder,
    parity: Sequence[FimExample],
    facts: Mapping[str, Any],
) -> None:
    """Write a checkpoint that is `source` with the weights of `model`, asked as `encoder` does.

    `facts` are added to its manifest.
    """
    with replace_folder(folder, marker=MANIFEST) as fresh:
        _save_model(fresh, model, encoder)
        write_prompts(fresh, encoder, parity)
        for path in source.folder.iterdir():
            if not (fresh / path.name).exists() and path.name != MANIFEST and ".safetensors" not in path.name:
                shutil.copyfile(path, fresh / path.name)
        write_json(fresh / MANIFEST, {**(source.manifest or {}), **facts, "prompt": encoder.prompt_format.to_json()})


def _save_model(folder: Path, model: PreTrainedModel, encoder: PromptEncoder) -> None:
    """Write weights in bfloat16 and their configuration; generation_config.json names every end of an answer.

    The base's own end may be another: an instruct model's is that of a turn, and fine-tuning teaches that of a text.
    """
    known = model.generation_config.eos_token_id
    ends = [*encoder.answer_ends(), *(known if isinstance(known, list) else [known])]
    model.generation_config.eos_token_id = list(dict.fromkeys(one for one in ends if one is not None)) or None
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    mode = stat.S_IMODE((folder / "config.json").stat().st_mode)
    for weights in folder.glob("*.safetensors"):  # safetensors gives them the mode 0600 whatever the umask
        weights.chmod(mode)


def write_prompts(folder: Path, encoder: PromptEncoder, fim_examples: Sequence[FimExample]) -> None:
    """As `SubModel.parity_prompts` reads them."""
    prompts = [{"prompt_ids": prompt, "truth_ids": truth} for prompt, truth in parity_prompts(fim_examples, encoder)]
    (folder / PARITY_PROMPTS).write_text(json.dumps(prompts), "utf-8")


def save_tokenizer(folder: Path, tokenizer: Tokenizer, model: PreTrainedModel) -> None:
    """tokenizer.json and its configuration as transformers writes them, the special tokens named."""
    names: dict[str, str] = {}
    for role in ("bos_token", "eos_token", "pad_token"):
        token_id = getattr(model.config, f"{role}_id", None)
        token = tokenizer.id_to_token(token_id) if isinstance(token_id, int) else None
        if token is not None:
            names[role] = token
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],  # no token_type_ids, which decoders refuse
        model_max_length=model.config.max_position_embeddings,
        **names,
    )
    wrapped.save_pretrained(folder)

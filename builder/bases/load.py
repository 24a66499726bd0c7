"""A base model in memory: weights, tokenizer, prompt format and provenance, whatever it was read from.

No code that comes with a model is ever run, and no pickle read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from builder.artifact import read_artifact
from builder.bases.folder_model import read_folder_model
from builder.bases.model_config import read_object, read_tokenizer_settings
from builder.bases.prompt_tokens import (
    first_token,
    make_prompt_format,
    token_of,
    with_control_tokens_special,
    written_token,
)
from builder.bases.resolve import UNKNOWN_LICENCE, ResolvedBase, licence_named, resolve_base
from builder.gguf.reader import open_gguf
from builder.gguf.tokenizer import NamedTokenizer, post_processor, read_tokenizer
from builder.gguf.weights import read_model
from contract.documents import BaseFacts
from contract.errors import BaseModelError, BuildError, first_line
from contract.progress import OnEvent, no_event
from contract.prompt import PromptFormat
from contract.tokenizer_file import TokenizerError, read_tokenizer_file

__all__ = ["LoadedBase", "ResolvedBase", "load_base", "load_resolved", "resolve_base"]


@dataclass(frozen=True, kw_only=True)
class LoadedBase:
    """A base model that is ready to be measured and pruned."""

    model: PreTrainedModel  # on the CPU, in evaluation mode
    tokenizer: Tokenizer
    prompt: PromptFormat
    provenance: BaseFacts  # name, source, sha256, licence, why, parameters; revision where it has one


def load_base(spec: str, *, dtype: torch.dtype = torch.bfloat16) -> LoadedBase:
    """Resolve and load the base that `spec` names: "auto", a catalogue name, a folder, a GGUF file or a hub id.

    Raises BaseModelError, one sentence, if the base can't be found, fetched or read.
    """
    return load_resolved(resolve_base(spec), dtype=dtype)


def load_resolved(
    base: ResolvedBase,
    *,
    on_event: OnEvent = no_event,
    dtype: torch.dtype = torch.bfloat16,
) -> LoadedBase:
    """Load what `resolve_base` found; `on_event` gets a sentence as the reading begins.

    Raises BaseModelError, one sentence, if it can't be read.
    """
    on_event(f"Reading {base.name}: {base.why}")
    licence = base.licence
    if base.is_gguf:
        with open_gguf(base.path) as gguf:
            found = read_tokenizer(gguf)
            if licence == UNKNOWN_LICENCE:
                named = (gguf.optional(f"general.{key}", str, "") for key in ("license", "license.name"))
                licence = licence_named(*named)
            model = read_model(gguf, dtype=dtype)
    else:
        found = _folder_tokenizer(base.path)
        model = read_folder_model(base.path, dtype)
    tokenizer = with_control_tokens_special(found.tokenizer)
    _name_special_tokens(model, tokenizer, found)
    rows = model.get_input_embeddings().num_embeddings
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if highest >= rows:
        raise BaseModelError(
            f"The tokenizer of {base.path} has {highest + 1:,} tokens, and its model has only {rows:,}; fetch the "
            "model again."
        )
    return LoadedBase(
        model=model,
        tokenizer=tokenizer,
        prompt=_prompt_format(base, tokenizer, found, getattr(model.config, "max_position_embeddings", None)),
        provenance={**base.to_json(), "licence": licence, "parameters": model.num_parameters()},
    )


def _prompt_format(
    base: ResolvedBase, tokenizer: Tokenizer, found: NamedTokenizer, positions: int | None
) -> PromptFormat:
    """That of a sub-model's manifest; of another base, what its tokens and positions say."""
    if base.is_sub_model:
        try:
            return read_artifact(base.path).prompt
        except BuildError as error:
            raise BaseModelError(str(error)) from error
    made = make_prompt_format(
        tokenizer,
        is_fim=base.is_fim,
        bos_token=found.bos_token if found.adds_bos else None,
        eos_token=found.eos_token,
    )
    return made if positions is None else made.fitting(positions)


def _name_special_tokens(model: PreTrainedModel, tokenizer: Tokenizer, found: NamedTokenizer) -> None:
    for role in ("bos_token", "eos_token", "pad_token"):
        token = getattr(found, role)
        token_id = tokenizer.token_to_id(token) if token is not None else None
        setattr(model.config, f"{role}_id", token_id)
        if model.generation_config is not None:
            setattr(model.generation_config, f"{role}_id", token_id)


def _folder_tokenizer(folder: Path) -> NamedTokenizer:
    path = folder / "tokenizer.json"
    settings = read_tokenizer_settings(folder)
    try:
        tokenizer = read_tokenizer_file(path)
        first = first_token(tokenizer, settings)
        if first is not None and tokenizer.encode("a").ids[:1] != [tokenizer.token_to_id(first)]:
            # A sub-model's tokenizer is written without the class that adds it.
            tokenizer.post_processor = post_processor(first, tokenizer.get_vocab(with_added_tokens=True))
    except TokenizerError as error:
        raise BaseModelError(f"The tokenizer {path} can't be read: {error}; fetch it again.") from error
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise BaseModelError(f"The tokenizer {path} can't be used: {first_line(error)}; fetch it again.") from error
    names = {role: _token_name(folder, role) for role in ("bos_token", "eos_token", "pad_token")}
    return NamedTokenizer(
        tokenizer=tokenizer,
        adds_bos=first is not None,
        bos_token=first or names["bos_token"],
        eos_token=names["eos_token"] or token_of(tokenizer, read_object(folder / "config.json").get("eos_token_id")),
        pad_token=names["pad_token"],
    )


def _token_name(folder: Path, role: str) -> str | None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if not (folder / name).is_file():
            continue
        if (token := written_token(read_object(folder / name).get(role))) is not None:
            return token
    return None

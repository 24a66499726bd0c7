"""Reads the facts about a tokenizer that llama.cpp needs from a transformers folder.

Only byte-level BPE is supported. llama.cpp knows its splitting rules by a name (`tokenizer.ggml.pre`); tokenizer.json
spells the rules out. The name is found by splitting a text on which the rules differ, not by comparing their spelling,
since the same rule is written in several ways.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from builder.bases.model_config import read_tokenizer_settings
from builder.bases.prompt_tokens import END_TOKENS, FIM_FAMILIES, PAD_TOKENS, first_token, written_token
from builder.gguf.tokenizer import CONTROL, PRE_TOKENIZERS, UNUSED, USER_DEFINED
from contract.errors import ExportError
from contract.prompt import REPOSITORY_TOKENS
from exporters.checkpoint_reader import read_tokenizer

NORMAL: Final = 1
# Runs of blanks before words and digits, contractions in both cases, numbers of several lengths, line ends, marks. The
# Hindi word has vowel signs, which other rules (Qwen3.5's) keep with their letters.
PROBE: Final = (
    "def f(x):\n\n    return   x1234 + 56  # it's WE'LL 3.14159 don't\r\n\t\tif a!=b&&c: 10000000\n   \n \t 7  8"
    " Ünïcödé naïve 北京 １２ ①² ǅ ſ’s नमस्ते 'Re \u200d🙂🙂 __init__ $x=~^`|<> ...   \n\n\n  end  "
)
# Metadata key → how the token may be called; llama.cpp's own infill and its plug-ins read these.
NAMED: Final[Mapping[str, tuple[str, ...]]] = {
    "fim_pre": tuple(family[0] for family in FIM_FAMILIES),
    "fim_suf": tuple(family[1] for family in FIM_FAMILIES),
    "fim_mid": tuple(family[2] for family in FIM_FAMILIES),
    "fim_pad": PAD_TOKENS,
    "fim_rep": tuple(repository for repository, _ in REPOSITORY_TOKENS),
    "fim_sep": tuple(file for _, file in REPOSITORY_TOKENS),
}


@dataclass(frozen=True, kw_only=True)
class GgufVocabulary:
    """A tokenizer in llama.cpp's terms. The position in `tokens` and `types` is the id."""

    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    special_ids: Mapping[str, int]  # of "eos", "bos", "padding", "fim_pre", …: those that the model has
    adds_bos: bool


def read_vocabulary(folder: Path, config: Mapping[str, Any], end_token: str | None, size: int) -> GgufVocabulary:
    """Return the vocabulary of a model folder, filled up to the model's `size` rows.

    `end_token` ends a completion if neither config.json nor tokenizer_config.json names an end, and then the first of
    END_TOKENS that the vocabulary has. Raises ExportError if there is none, if the tokenizer is no byte-level BPE, or
    if it splits text by rules that have no known name in llama.cpp.
    """
    path = folder / "tokenizer.json"
    tokenizer = read_tokenizer(folder)
    document = json.loads(tokenizer.to_str())
    model = document["model"]
    if model.get("type") != "BPE" or "ByteLevel" not in json.dumps(document.get("decoder")):
        raise ExportError(f"The tokenizer {path} is no byte-level BPE, the only kind that can be written as GGUF.")
    added = tokenizer.get_added_tokens_decoder()
    tokens = [tokenizer.id_to_token(token_id) for token_id in range(size)]
    types = [
        (CONTROL if added[i].special else USER_DEFINED) if i in added else NORMAL if token is not None else UNUSED
        for i, token in enumerate(tokens)
    ]
    settings = read_tokenizer_settings(folder)
    bos, eos, padding = (written_token(settings.get(f"{role}_token")) for role in ("bos", "eos", "pad"))
    first = first_token(tokenizer, settings)
    special = {
        "bos": tokenizer.token_to_id(first)
        if first is not None
        else _id_of(tokenizer, bos, config.get("bos_token_id")),
        "eos": _end_of(tokenizer, eos or end_token, config, path),
        "padding": _id_of(tokenizer, padding, config.get("pad_token_id")),
        **{
            key: next((tokenizer.token_to_id(one) for one in known if tokenizer.token_to_id(one) is not None), None)
            for key, known in NAMED.items()
        },
    }
    return GgufVocabulary(
        pre=find_pre(tokenizer, path),
        tokens=tuple(f"[PAD{i}]" if token is None else token for i, token in enumerate(tokens)),
        types=tuple(types),
        merges=tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges", ())),
        special_ids={name: token_id for name, token_id in special.items() if token_id is not None and token_id < size},
        adds_bos=first is not None,
    )


def find_pre(tokenizer: Tokenizer, path: Path) -> str:
    """Return llama.cpp's name of the rules by which `tokenizer` splits text; raise ExportError if it has none."""
    cut = _pieces(tokenizer.pre_tokenizer) if tokenizer.pre_tokenizer is not None else []
    for name, make in PRE_TOKENIZERS.items():
        if _pieces(make()) == cut:
            return name
    raise ExportError(
        f"The tokenizer {path} cuts text by rules that are none of {', '.join(PRE_TOKENIZERS)}; llama.cpp would read "
        "other tokens, so nothing was written."
    )


def _pieces(pre_tokenizer: Any) -> list[str]:
    return [piece for piece, _ in pre_tokenizer.pre_tokenize_str(PROBE)]


def _end_of(tokenizer: Tokenizer, name: str | None, config: Mapping[str, Any], path: Path) -> int:
    """Return the id of the token that ends a text; raise ExportError if there is none."""
    found = _id_of(tokenizer, name, config.get("eos_token_id"))
    known = (one for one in map(tokenizer.token_to_id, END_TOKENS) if one is not None)
    if found is None and (found := next(known, None)) is None:  # llama.cpp would take token 11
        raise ExportError(f"{path.parent} names no token that ends a text; add eos_token to its tokenizer_config.json.")
    return found


def _id_of(tokenizer: Tokenizer, name: str | None, token_id: Any) -> int | None:
    first = token_id[0] if isinstance(token_id, list) and token_id else token_id
    if isinstance(first, int):
        return first
    found = tokenizer.token_to_id(name) if name is not None else None
    return int(found) if found is not None else None

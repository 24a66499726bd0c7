"""The byte-level BPE tokenizer that a GGUF file carries, as a `tokenizers.Tokenizer`.

The ids are those of llama.cpp on the same file (tests/builder/test_gguf_tokenizer.py).
It covers tokenizers of the model "gpt2"; SentencePiece vocabularies ("llama") are refused. Text is never normalized:
Qwen's own tokenizer composes characters first (NFC), llama.cpp does not, and here the text stays byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from builder.gguf.reader import GgufFile
from contract.errors import BaseModelError
from contract.tokenizer_file import MAX_ADDED_CHARS

CONTROL: Final = 3  # token types of llama.cpp's llama_token_type
USER_DEFINED: Final = 4
UNUSED: Final = 5
PADDING_ROW: Final = re.compile(r"\[PAD\d+\]")  # what converters call rows that no token has

# Patterns as in llama.cpp's src/llama-vocab.cpp. They are spelled without `(?i:…)`, which would also take the long s.
CONTRACTIONS: Final = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
GPT2_PATTERN: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
AFTER_DIGITS: Final = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2_PATTERN: Final = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + AFTER_DIGITS
LLAMA3_PATTERN: Final = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + AFTER_DIGITS


def _split(*patterns: str) -> pre_tokenizers.PreTokenizer:
    """Cut by the first pattern, its parts by the next, and so on."""
    cuts = [pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in patterns]
    return pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _digits_first() -> pre_tokenizers.PreTokenizer:
    """Each digit apart, and only then GPT-2's pattern: so white space before a digit is a run of its own."""
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _gpt2() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


# `tokenizer.ggml.pre`: how text is cut before merging.
PRE_TOKENIZERS: Final[Mapping[str, Callable[[], pre_tokenizers.PreTokenizer]]] = {
    "qwen2": lambda: _split(QWEN2_PATTERN),
    "deepseek-r1-qwen": lambda: _split(QWEN2_PATTERN),
    "smollm": _digits_first,
    "starcoder": _digits_first,
    "refact": _digits_first,
    "gpt-2": _gpt2,
    "default": lambda: _split(r"[\p{P}$+<=>^~|]+", GPT2_PATTERN, r"\p{N}+", r"[0-9]{3}"),
    "llama-bpe": lambda: _split(LLAMA3_PATTERN),
}
WHOLE_WORDS_FIRST: Final = frozenset({"llama-bpe"})  # words of the vocabulary are taken unmerged ("ignore_merges")
BOS_BY_DEFAULT: Final = frozenset({"llama-bpe"})  # where the file doesn't say


@dataclass(frozen=True, kw_only=True)
class NamedTokenizer:
    """A tokenizer and the names of its special tokens."""

    tokenizer: Tokenizer
    adds_bos: bool  # whether the model was trained with `bos_token` in front
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None


def vocabulary(gguf: GgufFile) -> tuple[list[str], list[int]]:
    """Tokens and their types, without the `[PAD…]` rows at the end; the position in the list is the id."""
    tokens = gguf.require("tokenizer.ggml.tokens", list)
    if not tokens or not all(isinstance(token, str) for token in tokens):
        raise BaseModelError(f"The GGUF file {gguf.path} has a vocabulary without tokens; convert the model again.")
    types = gguf.metadata.get("tokenizer.ggml.token_type")
    if not isinstance(types, np.ndarray) or types.dtype.kind not in "iu" or len(types) != len(tokens):
        raise BaseModelError(f"The GGUF file {gguf.path} doesn't say which tokens are special; convert it again.")
    used = len(tokens)
    while used and types[used - 1] == UNUSED and PADDING_ROW.fullmatch(tokens[used - 1]):
        used -= 1
    return tokens[:used], [int(kind) for kind in types[:used]]


def read_tokenizer(gguf: GgufFile) -> NamedTokenizer:
    """Build the tokenizer; raises BaseModelError where the file lacks one or has a kind that is not supported."""
    model = gguf.require("tokenizer.ggml.model", str)
    if model != "gpt2":
        raise BaseModelError(
            f"The GGUF file {gguf.path} has a tokenizer of the kind {model!r}, and only byte-level BPE ('gpt2') can be "
            "read; give another base with --base."
        )
    pre = gguf.require("tokenizer.ggml.pre", str)
    if pre not in PRE_TOKENIZERS:
        raise BaseModelError(
            f"The GGUF file {gguf.path} cuts text by the rules {pre!r}, and only {', '.join(PRE_TOKENIZERS)} can be "
            "read; give the model as a Hugging Face folder or hub id instead."
        )
    tokens, types = vocabulary(gguf)
    ids = {token: token_id for token_id, token in enumerate(tokens)}
    if len(ids) != len(tokens):
        raise BaseModelError(f"The GGUF file {gguf.path} holds some token twice; convert the model again.")
    tokenizer = Tokenizer(
        models.BPE(vocab=ids, merges=_merges(gguf, ids), fuse_unk=False, ignore_merges=pre in WHOLE_WORDS_FIRST)
    )
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    # Control tokens are special, so that text can be encoded without them; user-defined ones are text of their own.
    for kind, is_special in ((CONTROL, True), (USER_DEFINED, False)):
        named = [token for token, token_kind in zip(tokens, types, strict=True) if token_kind == kind]
        if any(len(token) > MAX_ADDED_CHARS for token in named):
            raise BaseModelError(
                f"The GGUF file {gguf.path} has a special token of more than {MAX_ADDED_CHARS} characters; take "
                "another model."
            )
        tokenizer.add_tokens([AddedToken(token, special=is_special, normalized=False) for token in named])
    bos = _special(gguf, tokens, "bos")
    adds_bos = gguf.optional("tokenizer.ggml.add_bos_token", bool, pre in BOS_BY_DEFAULT)
    if adds_bos and bos is None:
        raise BaseModelError(f"The GGUF file {gguf.path} wants a first token and doesn't name it; convert it again.")
    tokenizer.post_processor = post_processor(bos if adds_bos else None, ids)
    return NamedTokenizer(
        tokenizer=tokenizer,
        adds_bos=adds_bos,
        bos_token=bos,
        eos_token=_special(gguf, tokens, "eos"),
        pad_token=_special(gguf, tokens, "padding"),
    )


def _merges(gguf: GgufFile, ids: Mapping[str, int]) -> list[tuple[str, str]]:
    """Merges by rank, each checked: its two parts and what they make are tokens."""
    merges: list[tuple[str, str]] = []
    for line in gguf.require("tokenizer.ggml.merges", list):
        # From 1, as in llama.cpp: the left part has at least one character.
        at = line.find(" ", 1) if isinstance(line, str) else -1
        left, right = (line[:at], line[at + 1 :]) if at > 0 else ("", "")
        if at < 0 or left not in ids or right not in ids or left + right not in ids:
            raise BaseModelError(
                f"The GGUF file {gguf.path} has the merge {line!r}, which is not made of tokens; convert it again."
            )
        merges.append((left, right))
    return merges


def _special(gguf: GgufFile, tokens: list[str], name: str) -> str | None:
    key = f"tokenizer.ggml.{name}_token_id"
    if key not in gguf.metadata:
        return None
    token_id = gguf.require(key, int)
    if not 0 <= token_id < len(tokens):
        raise BaseModelError(
            f"The GGUF file {gguf.path} names token {token_id} as {name} and has {len(tokens)}; convert it again."
        )
    return tokens[token_id]


def post_processor(bos: str | None, ids: Mapping[str, int]) -> Any:
    """Return what puts `bos` in front of each text, or nothing; `ids` are those of the tokens."""
    if bos is None:
        return processors.ByteLevel(trim_offsets=False)
    return processors.TemplateProcessing(single=[bos, "$A"], special_tokens=[(bos, ids[bos])])

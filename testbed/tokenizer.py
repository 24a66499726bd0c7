"""The tokenizer of the tiny models: byte-level BPE, committed as tokenizer.json.

It was trained on `json`, `html`, `logging` and `wsgiref` of Python 3.11's standard library: 256 bytes, then 256 merges,
then an end token and three tokens of fill-in-the-middle. No text of a test was used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from contract.prompt import PromptFormat

FILE = Path(__file__).with_name("tokenizer.json")
BYTES = 256  # a vocabulary of these alone has no merges
END_TOKEN = "<|endoftext|>"
FIM_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
FILE_TOKEN = "<|file_sep|>"
FIM = PromptFormat(prefix_token=FIM_TOKENS[0], suffix_token=FIM_TOKENS[1], middle_token=FIM_TOKENS[2])


def make_tokenizer(vocabulary: int = 420, control_tokens: Sequence[str] = (END_TOKEN, *FIM_TOKENS)) -> Tokenizer:
    """Return a tokenizer of the first `vocabulary` byte tokens and merges (256 to 512), then the control tokens.

    The first merges of a BPE are the tokenizer that training to fewer tokens would have given.
    """
    document = _document()
    model = document["model"]
    vocab = {token: index for token, index in model["vocab"].items() if index < vocabulary}
    merges = [pair for pair in model["merges"] if "".join(pair) in vocab]
    shorter = {**document, "added_tokens": [], "model": {**model, "vocab": vocab, "merges": merges}}
    tokenizer = Tokenizer.from_str(json.dumps(shorter))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in control_tokens])
    return tokenizer


@cache
def _document() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text("utf-8")))

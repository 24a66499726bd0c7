"""Which tokens of a base make its prompt: found by their names in the vocabulary.

Limitation: a vocabulary may hold fill-in-the-middle tokens that the model was never trained on (Qwen2.5 without "Coder"
has them all). Only for the catalogue's models is it known; for others the tokens are believed. Such a base completes
badly, which the build's figures show.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tokenizers import Tokenizer

from contract.prompt import REPOSITORY_TOKENS, PromptFormat

# Prefix, suffix, middle; each family writes them in this order.
FIM_FAMILIES: Final = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5-Coder
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek-Coder
)
END_TOKENS: Final = ("<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>")  # of a text, in training
PAD_TOKENS: Final = ("<|fim_pad|>", "<fim_pad>", "<fim-pad>")
# What a model says when its text is over, or when it goes on to another file.
STOP_TOKENS: Final = (
    *END_TOKENS,
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    *PAD_TOKENS,
    *(repository for repository, _ in REPOSITORY_TOKENS),
    *(file for _, file in REPOSITORY_TOKENS),
)
BOS_CLASSES: Final = ("LlamaTokenizer", "LlamaTokenizerFast")  # with `add_bos_token`, which is true by default
CONTROL_TOKENS: Final = frozenset(STOP_TOKENS).union(*FIM_FAMILIES)


def make_prompt_format(
    tokenizer: Tokenizer, *, is_fim: bool | None, bos_token: str | None, eos_token: str | None
) -> PromptFormat:
    """The base's prompt format; `is_fim` None means that the vocabulary decides (see the module's limitation).

    `bos_token` is for bases that were trained with one in front. The stop tokens are those of a known name that the
    vocabulary holds as special ones, the fill-in-the-middle tokens, and `eos_token`.
    """
    special = special_tokens(tokenizer)
    families = [family for family in FIM_FAMILIES if special.issuperset(family)]
    stops = [token for token in (eos_token, *STOP_TOKENS, *_flat(families)) if token in special]
    prefix, suffix, middle = families[0] if families and is_fim is not False else (None, None, None)
    return PromptFormat(
        prefix_token=prefix,
        suffix_token=suffix,
        middle_token=middle,
        bos_token=bos_token,
        stop_tokens=tuple(dict.fromkeys(token for token in stops if token)),
        # An instruct model's own end is that of a turn; its base was trained to end a middle with that of a text.
        end_token=next((token for token in (*END_TOKENS, eos_token) if token in special), None),
    )


def first_token(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> str | None:
    """Return the token that stands in front of each text, or None: by tokenizer.json, or by the class in `settings`.

    `settings` is tokenizer_config.json. Raises what the tokenizers library raises, which has no narrower class than
    Exception.
    """
    plain, wrapped = tokenizer.encode("a", add_special_tokens=False).ids, tokenizer.encode("a").ids
    # A tokenizer.json that puts a token in front says so only by doing it.
    if len(wrapped) > len(plain) and wrapped[:1] != plain[:1]:
        return str(tokenizer.id_to_token(wrapped[0]))
    # In transformers these classes put their own rule in the place of tokenizer.json's (update_post_processor).
    if settings.get("tokenizer_class") not in BOS_CLASSES or not settings.get("add_bos_token", True):
        return None
    token = written_token(settings.get("bos_token"))
    return token if token is not None and tokenizer.token_to_id(token) is not None else None


def written_token(value: Any) -> str | None:
    """Return the token that a value of tokenizer_config.json or special_tokens_map.json names, or None."""
    text = value.get("content") if isinstance(value, Mapping) else value  # an AddedToken, written out
    return text if isinstance(text, str) else None


def token_of(tokenizer: Tokenizer, ids: Any) -> str | None:
    """Return the token of an id as config.json gives it, the first of several; None if the vocabulary has none."""
    first = ids[0] if isinstance(ids, list) and ids else ids
    known = {i: token for token, i in tokenizer.get_vocab(with_added_tokens=True).items()}
    return known.get(first) if type(first) is int else None


def special_tokens(tokenizer: Tokenizer) -> frozenset[str]:
    """Tokens that stand for no text."""
    return frozenset(token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special)


def with_control_tokens_special(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, with control tokens of known names marked as special.

    Qwen's own tokenizer.json has its fill-in-the-middle tokens as plain added ones: text that spells `<|fim_middle|>`
    would become the token, and the token would be part of a completion's text.
    """
    document = json.loads(tokenizer.to_str())
    changed = False
    for token in document["added_tokens"]:
        if token["content"] in CONTROL_TOKENS and not token["special"]:
            token["special"] = changed = True
    return Tokenizer.from_str(json.dumps(document)) if changed else tokenizer


def _flat(families: Iterable[tuple[str, ...]]) -> list[str]:
    return [token for family in families for token in family]

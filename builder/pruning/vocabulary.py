"""Fewer tokens, same segmentation: trims a byte-level BPE vocabulary and the two matrices that it indexes.

A set of tokens is closed under merges when it holds the two parts of each of its tokens, recursively. Text whose
tokens all lie in such a set is segmented by the trimmed tokenizer exactly as before: every merge on the way to a kept
token yields a kept token, so each step still finds the same best pair. Text outside the set falls back to shorter
pieces, down to single bytes. Every byte of the vocabulary is always kept; SmolLM2's lacks some that no UTF-8 text has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel

from builder.bases.model_config import is_byte_level
from builder.batches import in_batches
from contract.errors import BuildError

BATCH_CHARS = 500_000  # of code that are encoded at once: some 150,000 tokens, of a hundred bytes or two each


@dataclass(frozen=True, kw_only=True)
class BpeVocabulary:
    """A byte-level BPE vocabulary as its tokenizer states it."""

    ids: dict[str, int]  # without the added tokens, unless merges make or take them
    merges: tuple[tuple[str, str], ...]  # by rank
    added: dict[str, int]  # special and other added tokens, kept whatever happens

    @property
    def size(self) -> int:
        """Rows that the embedding needs at least: the highest id and one."""
        return max([*self.ids.values(), *self.added.values()]) + 1

    @cached_property
    def parts(self) -> Mapping[int, Sequence[int]]:
        """The ids from which merges make a token, of all ways to it where there are several."""
        parts: dict[int, list[int]] = {}
        for pair in self.merges:
            parts.setdefault(self.ids["".join(pair)], []).extend(self.ids[part] for part in pair)
        return parts


def read_vocabulary(tokenizer: Tokenizer) -> BpeVocabulary:
    """Read it from the tokenizer's own JSON; raises BuildError where the tokenizer is no byte-level BPE."""
    document = json.loads(tokenizer.to_str())
    model = document["model"]
    if not is_byte_level(document):
        raise BuildError(
            "The base's tokenizer is no byte-level BPE (SentencePiece, say); choose a base whose tokenizer is."
        )
    merges = tuple((a, b) for a, b in (m.split(" ", 1) if isinstance(m, str) else m for m in model["merges"]))
    added = {token["content"]: token["id"] for token in document["added_tokens"]}
    merged = {token for pair in merges for token in (*pair, "".join(pair))}
    ids = {token: i for token, i in model["vocab"].items() if token not in added or token in merged}
    return BpeVocabulary(ids=ids, merges=merges, added=added)


def close_under_merges(wanted: Iterable[int], vocabulary: BpeVocabulary) -> frozenset[int]:
    """The wanted ids and, recursively, the parts from which merges make them."""
    closed: set[int] = set()
    pending = list(wanted)
    while pending:
        token_id = pending.pop()
        if token_id in closed:
            continue
        closed.add(token_id)
        pending.extend(vocabulary.parts.get(token_id, ()))
    return frozenset(closed)


def always_kept(vocabulary: BpeVocabulary) -> frozenset[int]:
    """Ids that no plan drops: the added tokens and the single symbols, among them the bytes."""
    return frozenset(vocabulary.added.values()) | {i for token, i in vocabulary.ids.items() if len(token) == 1}


@dataclass(frozen=True, kw_only=True)
class TokenOrder:
    """All ids, in the order in which to keep them. Every prefix of at least `used` ids is closed under merges."""

    ids: tuple[int, ...]
    used: int  # how many can't leave
    likely: int  # how many are used or likely to be

    def first(self, count: int) -> list[int]:
        """Ids to keep, ascending: `count` of them, or as many as can't leave."""
        return sorted(self.ids[: max(self.used, count)])


def order_tokens(
    vocabulary: BpeVocabulary, used: Iterable[int], likely: Iterable[int] = (), unlikely: Iterable[int] = ()
) -> TokenOrder:
    """First what can't leave, then the likely ids in their order, the unlikely, and the others by the ranks of merges.

    used: ids that the repository's text is made of. likely, unlikely: those that it may use tomorrow, the likeliest
    first. The parts of a token come before it.
    """
    ordered = dict.fromkeys(sorted(close_under_merges([*always_kept(vocabulary), *used], vocabulary)))
    count = len(ordered)

    def add(token_id: int) -> None:
        pending = [token_id]
        while pending:
            missing = [part for part in vocabulary.parts.get(pending[-1], ()) if part not in ordered]
            if missing:
                pending += missing
            else:
                ordered[pending.pop()] = None

    for token_id in likely:
        add(token_id)
    likely_count = len(ordered)
    for token_id in unlikely:
        add(token_id)
    for left, right in vocabulary.merges:
        add(vocabulary.ids[left + right])
    for token_id in sorted(vocabulary.ids.values()):
        add(token_id)
    return TokenOrder(ids=tuple(ordered), used=count, likely=likely_count)


def trim_tokenizer(tokenizer: Tokenizer, kept: Sequence[int]) -> Tokenizer:
    """The tokenizer over the kept ids alone, renumbered 0, 1, 2, … in the order of `kept`."""
    document = json.loads(tokenizer.to_str())
    new_id = {old: new for new, old in enumerate(kept)}
    model = document["model"]
    vocab = {token: new_id[i] for token, i in model["vocab"].items() if i in new_id}
    model["vocab"] = dict(sorted(vocab.items(), key=lambda item: item[1]))
    pairs = [m.split(" ", 1) if isinstance(m, str) else m for m in model["merges"]]
    model["merges"] = [[a, b] for a, b in pairs if a in vocab and b in vocab and a + b in vocab]
    document["added_tokens"] = [
        {**token, "id": new_id[token["id"]]} for token in document["added_tokens"] if token["id"] in new_id
    ]
    post = document.get("post_processor")
    if post is not None and post.get("type") != "ByteLevel":
        # A template names ids of special tokens (a BOS, say); they move with the vocabulary.
        _renumber_template(post, new_id)
    return Tokenizer.from_str(json.dumps(document, ensure_ascii=False))


def _renumber_template(node: object, new_id: dict[int, int]) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("ids"), list) and "tokens" in node:
            node["ids"] = [new_id[i] for i in node["ids"]]
        for child in node.values():
            _renumber_template(child, new_id)
    elif isinstance(node, list):
        for child in node:
            _renumber_template(child, new_id)


def trim_embeddings(model: PreTrainedModel, kept: Sequence[int]) -> None:
    """Keep the rows `kept` of the input embedding and of the head, in place; a tied head stays tied."""
    rows = torch.tensor(list(kept))
    embedding = model.get_input_embeddings()
    head = model.get_output_embeddings()
    is_tied = head.weight is embedding.weight
    embedding.weight = nn.Parameter(embedding.weight[rows].clone(), requires_grad=False)
    embedding.num_embeddings = len(kept)
    embedding.padding_idx = None
    head.weight = embedding.weight if is_tied else nn.Parameter(head.weight[rows].clone(), requires_grad=False)
    head.out_features = len(kept)
    model.config.vocab_size = len(kept)
    new_id = {old: new for new, old in enumerate(kept)}
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        for config in (model.config, model.generation_config):
            setattr(config, name, _moved(getattr(config, name, None), new_id))


def _moved(token_ids: int | list[int] | None, new_id: dict[int, int]) -> int | list[int] | None:
    if isinstance(token_ids, list):
        return [new_id[i] for i in token_ids if i in new_id] or None
    return None if token_ids is None else new_id.get(token_ids)


def differing_texts(before: Iterable[list[int]], after: Tokenizer, kept: Sequence[int], texts: Iterable[str]) -> int:
    """How many texts the trimmed tokenizer segments otherwise than the base's; 0 is what a plan promises.

    before: the ids that the base's tokenizer makes of each text.
    """
    encoded = encode_texts(after, texts)
    return sum(old != [kept[i] for i in new] for old, new in zip(before, encoded, strict=True))


def encode_texts(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    """Yield the token ids of each text, without control tokens. All cores encode; a few texts are in memory at once."""
    for batch in in_batches(texts, BATCH_CHARS, len):
        for encoding in tokenizer.encode_batch_fast(list(batch), add_special_tokens=False):
            yield encoding.ids

"""Trimming keeps segmentation, for any text made of kept tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from builder.errors import BuildError
from builder.pruning.vocabulary import (
    always_kept,
    choose_tokens,
    close_under_merges,
    differing_texts,
    read_vocabulary,
    trim_embeddings,
    trim_tokenizer,
)
from tests.builder.tiny import FIM_TOKENS, TEXT, make_model, make_tokenizer

TOKENIZER = make_tokenizer()
VOCABULARY = read_vocabulary(TOKENIZER)
ALPHABET = sorted(set(TEXT))


def ids_of(text):
    return TOKENIZER.encode(text, add_special_tokens=False).ids


@given(st.text(ALPHABET, max_size=80), st.lists(st.text(ALPHABET, max_size=40), max_size=4))
@settings(max_examples=60, deadline=None)
def test_text_of_kept_tokens_is_segmented_as_before(text, others):
    used = {i for t in (text, *others) for i in ids_of(t)}
    kept = choose_tokens(VOCABULARY, used, ranks=0)
    trimmed = trim_tokenizer(TOKENIZER, kept)
    assert differing_texts(TOKENIZER, trimmed, kept, [text, *others]) == 0


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_survives_the_smallest_vocabulary(text):
    kept = choose_tokens(VOCABULARY, [], ranks=0)
    trimmed = trim_tokenizer(TOKENIZER, kept)
    ids = trimmed.encode(text, add_special_tokens=False).ids
    assert trimmed.decode(ids, skip_special_tokens=False) == text


def test_closure_holds_the_parts_of_each_token():
    longest = max(VOCABULARY.ids.items(), key=lambda item: len(item[0]))[1]
    closed = close_under_merges([longest], VOCABULARY)
    made = {left + right: (left, right) for left, right in VOCABULARY.merges}
    tokens = {i: t for t, i in VOCABULARY.ids.items()}
    for token_id in closed:
        for part in made.get(tokens[token_id], ()):
            assert VOCABULARY.ids[part] in closed
    assert len(closed) > 2


def test_a_difference_is_counted():
    """Dropping a token that a text uses must not go unnoticed."""
    kept = choose_tokens(VOCABULARY, [], ranks=0)
    assert differing_texts(TOKENIZER, trim_tokenizer(TOKENIZER, kept), kept, [TEXT, "x"]) == 1


def test_special_tokens_stay_single_and_bytes_stay():
    kept = choose_tokens(VOCABULARY, [], ranks=0)
    trimmed = trim_tokenizer(TOKENIZER, kept)
    for token in FIM_TOKENS:
        assert trimmed.encode(token).ids == [trimmed.token_to_id(token)]
    assert len(always_kept(VOCABULARY)) >= 256 + 4


def test_ranks_fill_up_to_the_limit():
    least = choose_tokens(VOCABULARY, [], ranks=0)
    filled = choose_tokens(VOCABULARY, [], ranks=0, limit=len(least) + 40)
    assert len(filled) == len(least) + 40
    assert set(least) < set(filled)


@pytest.mark.parametrize("is_tied", [True, False])
def test_logits_of_kept_tokens_are_the_bases(is_tied):
    model = make_model(VOCABULARY.size, is_tied=is_tied)
    kept = choose_tokens(VOCABULARY, ids_of(TEXT), ranks=0)
    before = model(torch.tensor([ids_of(TEXT)])).logits
    trim_embeddings(model, kept)
    trimmed = trim_tokenizer(TOKENIZER, kept)
    after = model(torch.tensor([trimmed.encode(TEXT, add_special_tokens=False).ids])).logits
    torch.testing.assert_close(after, before[..., torch.tensor(kept)])
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == is_tied
    assert model.config.vocab_size == len(kept)


def test_only_bpe_can_be_trimmed():
    with pytest.raises(BuildError, match="only BPE"):
        read_vocabulary(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))


def test_a_vocabulary_without_the_bytes_is_refused():
    """A SentencePiece vocabulary: text whose tokens were trimmed away could not be spelled at all."""
    with pytest.raises(BuildError, match="not byte-level"):
        read_vocabulary(Tokenizer(models.BPE({"▁": 0, "a": 1, "▁a": 2}, [("▁", "a")])))

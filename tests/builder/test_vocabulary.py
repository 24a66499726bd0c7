"""Trimming keeps segmentation, for any text made of kept tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from builder.pruning import vocabulary
from builder.pruning.vocabulary import (
    always_kept,
    close_under_merges,
    differing_texts,
    order_tokens,
    read_vocabulary,
    trim_embeddings,
    trim_tokenizer,
)
from contract.errors import BuildError
from testbed.models import make_model
from testbed.tokenizer import FIM_TOKENS, make_tokenizer
from tests.builder.sample_texts import TEXT

TOKENIZER = make_tokenizer()
VOCABULARY = read_vocabulary(TOKENIZER)
ALPHABET = sorted(set(TEXT))


def ids_of(text):
    return TOKENIZER.encode(text, add_special_tokens=False).ids


def least_of(used):
    return order_tokens(VOCABULARY, used).first(0)


@pytest.mark.parametrize("encodes_special_tokens", [False, True])
def test_texts_that_are_encoded_in_batches_have_the_ids_of_each_alone(monkeypatch, encodes_special_tokens):
    tokenizer = make_tokenizer()
    tokenizer.encode_special_tokens = encodes_special_tokens
    monkeypatch.setattr(vocabulary, "BATCH_CHARS", 70)
    texts = [TEXT[start : start + 30] for start in range(0, 120, 10)]
    texts += ["", f"a{FIM_TOKENS[0]}b", "é\U0001f600\r\n\t", TEXT]
    expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    assert list(vocabulary.encode_texts(tokenizer, iter(texts))) == expected


@given(st.text(ALPHABET, max_size=80), st.lists(st.text(ALPHABET, max_size=40), max_size=4))
@settings(max_examples=60, deadline=None)
def test_text_of_kept_tokens_is_segmented_as_before(text, others):
    used = {i for t in (text, *others) for i in ids_of(t)}
    kept = least_of(used)
    trimmed = trim_tokenizer(TOKENIZER, kept)
    assert differing_texts(map(ids_of, [text, *others]), trimmed, kept, [text, *others]) == 0


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_survives_the_smallest_vocabulary(text):
    kept = least_of([])
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
    kept = least_of([])
    assert differing_texts(map(ids_of, [TEXT, "x"]), trim_tokenizer(TOKENIZER, kept), kept, [TEXT, "x"]) == 1


def test_special_tokens_stay_single_and_bytes_stay():
    kept = least_of([])
    trimmed = trim_tokenizer(TOKENIZER, kept)
    for token in FIM_TOKENS:
        assert trimmed.encode(token).ids == [trimmed.token_to_id(token)]
    assert len(always_kept(VOCABULARY)) >= 256 + 4


def test_what_is_likely_stays_before_what_is_ranked_high():
    made = [VOCABULARY.ids[left + right] for left, right in VOCABULARY.merges]
    order = order_tokens(VOCABULARY, [], likely=made[-1:-4:-1], unlikely=[made[-9]])
    parts = close_under_merges(made[-3:], VOCABULARY) - set(order.first(0))
    assert order.likely == order.used + len(parts)
    assert set(order.first(order.likely)) == set(order.first(0)) | parts
    assert made[-9] in order.first(order.likely + len(close_under_merges([made[-9]], VOCABULARY)))
    assert sorted(order.ids) == sorted({*VOCABULARY.ids.values(), *VOCABULARY.added.values()})


@given(st.sets(st.sampled_from(sorted(VOCABULARY.ids.values())), max_size=20), st.integers(0, VOCABULARY.size))
@settings(max_examples=60, deadline=None)
def test_any_number_of_first_tokens_is_closed_under_merges(likely, count):
    kept = order_tokens(VOCABULARY, [], likely).first(count)
    assert close_under_merges(kept, VOCABULARY) == set(kept)


@pytest.mark.parametrize("is_tied", [True, False])
def test_logits_of_kept_tokens_are_the_bases(is_tied):
    model = make_model(VOCABULARY.size, is_tied=is_tied)
    kept = least_of(ids_of(TEXT))
    before = model(torch.tensor([ids_of(TEXT)])).logits
    trim_embeddings(model, kept)
    trimmed = trim_tokenizer(TOKENIZER, kept)
    after = model(torch.tensor([trimmed.encode(TEXT, add_special_tokens=False).ids])).logits
    torch.testing.assert_close(after, before[..., torch.tensor(kept)])
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == is_tied
    assert model.config.vocab_size == len(kept)


def test_control_tokens_of_the_configuration_are_renumbered():
    model, kept = make_model(VOCABULARY.size), least_of(ids_of(TEXT))
    gone = next(one for one in range(VOCABULARY.size) if one not in kept)
    model.config.bos_token_id, model.config.pad_token_id = kept[5], gone
    model.generation_config.eos_token_id = [kept[7], gone]
    trim_embeddings(model, kept)
    assert (model.config.bos_token_id, model.config.pad_token_id) == (5, None)
    assert model.generation_config.eos_token_id == [7]


def test_a_token_that_merges_make_may_be_an_added_one_too():
    tokenizer = make_tokenizer()
    assert tokenizer.token_to_id("def") is not None
    tokenizer.add_tokens(["def", "e"])
    vocabulary = read_vocabulary(tokenizer)
    assert {"def", "e"} <= vocabulary.ids.keys() & vocabulary.added.keys()
    kept = order_tokens(vocabulary, tokenizer.encode(TEXT).ids).first(0)
    assert close_under_merges(kept, vocabulary) == set(kept)
    assert differing_texts([tokenizer.encode(TEXT).ids], trim_tokenizer(tokenizer, kept), kept, [TEXT]) == 0
    everything = order_tokens(vocabulary, []).ids
    assert len(everything) == len(set(everything)) == tokenizer.get_vocab_size()


def test_only_bpe_can_be_trimmed():
    with pytest.raises(BuildError, match="no byte-level BPE"):
        read_vocabulary(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))


def test_a_vocabulary_without_the_bytes_is_refused():
    """A SentencePiece vocabulary: text whose tokens were trimmed away could not be spelled at all."""
    with pytest.raises(BuildError, match="no byte-level BPE"):
        read_vocabulary(Tokenizer(models.BPE({"▁": 0, "a": 1, "▁a": 2}, [("▁", "a")])))

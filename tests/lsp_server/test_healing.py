"""A begun word is found, and the answer begins with it by the likeliest tokens that fit."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors

from contract.bundle.bundle import read_bundle
from contract.bundle.manifest import read_manifest, write_manifest_of
from contract.prompt import begun_text
from lsp_server.completion import Completer
from lsp_server.decoding.engine import Engine, FinishReason
from lsp_server.decoding.healing import Start, Vocabulary, without_start
from lsp_server.request import CompletionRequest
from testbed.bundles import make_bundle_tokenizer

TOKENIZER = make_bundle_tokenizer()
VOCABULARY = Vocabulary(TOKENIZER)


@pytest.fixture(scope="module")
def engine(tiny_bundle):
    return Engine(tiny_bundle, threads=1)


@pytest.mark.parametrize(
    ("prefix", "word"),
    [
        ("def f(self):\n    return sel", " sel"),
        ("self.na", "na"),
        ("import os\nfro", "fro"),
        ("x = ", " "),
        ("x =  ", "  "),
        ("x\n ", ""),
        (" ", ""),
        ("x = (", " ("),
        ("x = 12", "2"),
        ("x = 1\n    ", ""),
        ("    ", ""),
        ("", ""),
        ("a" * 60, ""),
        ("b" * 300, ""),
        ("# caf\u00e9", " caf\u00e9"),
    ],
)
def test_the_begun_text(prefix, word):
    assert begun_text(TOKENIZER, prefix) == word


@pytest.mark.parametrize(("prefix", "word"), [("x = (", " ("), ("x = ", " "), ("x.", ".")])
def test_a_token_s_space_is_taken_back_where_its_span_leaves_it_out(prefix, word):
    trimming = make_bundle_tokenizer()
    trimming.post_processor = processors.ByteLevel(trim_offsets=True)
    assert begun_text(trimming, prefix) == word


def test_what_no_token_can_spell_is_not_taken_back():
    assert begun_text(TOKENIZER, "x = \ufffd") == ""


@given(st.text(max_size=60) | st.text('ab1 _.(\t\n"é\u0301\U0001f600', max_size=260))
def test_what_is_begun_ends_the_line(prefix):
    begun = begun_text(TOKENIZER, prefix)
    assert prefix.endswith(begun)
    assert "\n" not in begun
    assert not begun or prefix[prefix.rfind("\n") + 1 :].strip()


def byte_level(text):
    from tokenizers import pre_tokenizers

    return "".join(
        p for p, _ in pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    )


@given(st.sampled_from([" sel", "ret", "x", " tok", "\u00e9t\u00e9", "def", "zq"]))
def test_tokens_that_fit_are_those_that_agree_as_far_as_both_go(start):
    wanted = byte_level(start)
    special = TOKENIZER.get_added_tokens_decoder()
    naive = {
        i
        for piece, i in TOKENIZER.get_vocab().items()
        if i not in special and (piece.startswith(wanted) or wanted.startswith(piece))
    }
    assert set(VOCABULARY.fitting(wanted).tolist()) == naive


@given(st.sampled_from([" self", "return", " tokenizer", "\u00e9t\u00e9"]), st.integers(0, 1000))
def test_whatever_the_model_prefers_the_answer_begins_with_the_start(text, seed):
    rng = np.random.default_rng(seed)
    start, ids = Start(VOCABULARY, text), []
    while start.is_open:
        choice = start.choose(rng.normal(size=TOKENIZER.get_vocab_size()).astype(np.float32))
        assert choice is not None
        ids.append(choice[0])
        assert 0 < choice[1] <= 1
    written = TOKENIZER.decode(ids, skip_special_tokens=False)
    assert written.startswith(text) or text.startswith(written.rstrip("\ufffd"))


def test_an_engine_s_answer_begins_with_it(engine):
    prompt = engine.encoder.text_ids("def f(self):\n    return")
    generation = engine.generate(prompt, max_new_tokens=8, start=" sel")
    assert generation.text.startswith(" sel")
    assert without_start(generation.text, " sel") == generation.text[4:]
    free = engine.generate(prompt, max_new_tokens=8)
    assert not free.text.startswith(" sel")
    assert engine.generate(prompt, max_new_tokens=8).token_ids == free.token_ids


def test_an_answer_that_does_not_reach_its_start_is_none():
    assert without_start(" se", " sel") == ""
    assert without_start(" self", " sel") == "f"


def test_an_answer_that_can_not_begin_as_it_has_to_is_no_cancelled_one(engine, monkeypatch):
    monkeypatch.setattr(engine._vocabulary, "fitting", lambda text: np.array([], np.int64))
    prompt = engine.encoder.text_ids("return")
    generation = engine.generate(prompt, start=" sel")
    assert (generation.text, generation.finish) == ("", FinishReason.NO_TOKEN)
    assert engine.generate(prompt, start=" sel", stop=lambda: True).finish is FinishReason.CANCELLED


def test_with_a_sentencepiece_tokenizer_nothing_is_taken_back(tiny_bundle, tmp_path, caplog):
    """No token would fit a start with a space, and the model would be silent in the middle of a line."""
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    file = folder / "tokenizer.json"
    marked = Tokenizer.from_str(file.read_text("utf-8").replace("Ġ", "▁").replace("Ċ", "\\n"))
    marked.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    marked.decoder = decoders.Metaspace(prepend_scheme="never")
    marked.save(str(file))
    write_manifest_of(folder, {k: v for k, v in read_manifest(folder).items() if k not in ("files", "checksum")})
    completer = Completer(Engine(read_bundle(folder), threads=1))
    for text in ("def f(self):\n    return sel", "x = "):
        completion = completer.complete(CompletionRequest(text=text, offset=len(text), max_tokens=4))
        assert completion.tokens > 0
        assert completion.raw
    assert "is not byte-level" in caplog.text

"""Pruning a base of two random layers: what may decide which tokens stay."""

from dataclasses import replace

import pytest

from builder.calibration import CalibrationSettings
from builder.corpus.corpus import read_corpus
from builder.pruning import structured_pruning
from builder.pruning.plan import SizeSettings
from builder.pruning.structured_pruning import PruneSettings, prune
from contract.errors import BuildError
from testbed.models import make_model
from testbed.tokenizer import FIM, make_tokenizer
from tests.builder.sample_texts import TEXT
from tests.laboratory.tiny_datasets import write_code

SETTINGS = PruneSettings(
    size=SizeSettings(size=0.97, least_token_share=1.0),
    calibration=CalibrationSettings(tokens=600, validation_tokens=200, tokens_per_channel=0),
)


@pytest.mark.slow
def test_text_that_is_held_out_keeps_no_token(tmp_path):
    """Else the figures on it would flatter: it would be the one new text that is read in whole words."""
    write_code(tmp_path, ".py", "#")
    corpus = read_corpus(tmp_path)

    def kept(split, text):
        files = tuple(replace(file, text=text) if file.split == split else file for file in corpus.files)
        tokenizer = make_tokenizer()
        model = make_model(tokenizer.get_vocab_size())
        return prune(model, tokenizer, FIM, replace(corpus, files=files), SETTINGS).plan.kept_token_ids

    plain = kept("held-out", "x = 1\n")
    assert kept("held-out", TEXT) == plain
    assert kept("validation", TEXT) != plain


def test_a_trimmed_tokenizer_that_splits_a_file_otherwise_is_refused(tmp_path, monkeypatch):
    write_code(tmp_path, ".py", "#")
    monkeypatch.setattr(structured_pruning, "differing_texts", lambda *_: 1)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer.get_vocab_size())
    with pytest.raises(BuildError, match=r"splits 1 of \d+ files otherwise than the base's"):
        prune(model, tokenizer, FIM, read_corpus(tmp_path), SETTINGS)
    assert model.config.vocab_size == tokenizer.get_vocab_size(), "nothing was trimmed"

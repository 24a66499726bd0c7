"""Figures from answers, against a predictor whose answers are known."""

import math

import pytest

from builder.corpus.corpus import SourceFile
from builder.errors import CorpusError
from builder.evaluation.metrics import bootstrap, edit_similarity, is_exact, mean
from builder.evaluation.scoring import Scores, ScoringSettings, exact_match_ratio, make_held_out, score
from builder.prompt import PromptEncoder, PromptFormat
from tests.builder.tiny import TEXT, make_tokenizer


def file(split, text=TEXT):
    return SourceFile(path=f"{split}.py", language="Python", text=text, sha256="0", split=split)


class Oracle:
    """Knows every answer, and takes exactly one bit a token."""

    name, parameters, bytes = "oracle", 7, 28
    encoder = PromptEncoder(make_tokenizer(), PromptFormat())

    def __init__(self, truths):
        self.truths = truths

    def nats(self, ids):
        return (len(ids) - 1) * math.log(2)

    def complete_lines(self, prompts, on_done):
        on_done(len(prompts))
        return [truth + "  " for truth in self.truths]


def test_only_held_out_files_are_scored():
    held_out = make_held_out([file("calibration"), file("held-out", "value = 1\nother = 2\n"), file("validation")],
                             ScoringSettings(positions=50))  # fmt: skip
    assert {cut.file.split for cut in held_out.cuts} == {"held-out"}
    assert held_out.excerpts == ("value = 1\nother = 2\n",)


def test_bits_per_byte_is_bits_over_the_bytes_of_the_text():
    held_out = make_held_out([file("held-out")], ScoringSettings())
    scores = score(Oracle([cut.middle for cut in held_out.cuts]), held_out)
    tokens = sum(len(Oracle.encoder.text_ids(text)) for text in held_out.excerpts)
    assert scores.bits_per_byte == pytest.approx(tokens / sum(len(text.encode()) for text in held_out.excerpts))
    row = scores.to_json()
    assert row["fim_exact_match"] == 1.0
    assert row["fim_edit_similarity"] == 1.0
    assert row["positions"] == len(held_out.cuts)


def test_progress_reaches_its_total():
    held_out = make_held_out([file("held-out")], ScoringSettings())
    seen = []
    score(
        Oracle([cut.middle for cut in held_out.cuts]),
        held_out,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1] == len(held_out.cuts) + len(held_out.excerpts)


def test_nothing_held_out_is_said():
    with pytest.raises(CorpusError, match="held-out"):
        make_held_out([file("calibration")], ScoringSettings())


def make_scores(answers, truths):
    return Scores(name="m", parameters=1, bytes=1, bits_per_byte=1.0, answers=tuple(answers), truths=tuple(truths))


def test_the_ratio_is_paired():
    truths = [str(i) for i in range(100)]
    base = make_scores([t if i < 50 else "x" for i, t in enumerate(truths)], truths)
    same = exact_match_ratio(base, base)
    assert same == {"value": 1.0, "low": 1.0, "high": 1.0}  # unpaired draws would spread
    half = exact_match_ratio(make_scores([t if i < 25 else "x" for i, t in enumerate(truths)], truths), base)
    assert half["value"] == 0.5
    assert half["low"] < 0.5 < half["high"]
    assert exact_match_ratio(base, make_scores(["x"] * 100, truths)) is None


def test_bootstrap_covers_the_known_spread_of_a_proportion():
    values = [i < 300 for i in range(1000)]
    interval = bootstrap(lambda drawn: mean([values[i] for i in drawn]), 1000)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert interval.value == 0.3
    assert interval.low == pytest.approx(0.3 - half, abs=0.008)
    assert interval.high == pytest.approx(0.3 + half, abs=0.008)


def test_white_space_at_the_end_does_not_count():
    assert is_exact("return x  ", "return x")
    assert not is_exact(" return x", "return x")
    assert edit_similarity("abcd", "abxd") == pytest.approx(0.75)

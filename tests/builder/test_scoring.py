"""Figures from answers, against a predictor whose answers are known."""

import itertools
import json
import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builder.corpus.corpus import SourceFile
from builder.evaluation.held_out import ScoringSettings, make_held_out
from builder.evaluation.metrics import (
    _student,
    bootstrap,
    by_signs,
    difference_of,
    edit_similarity,
    is_exact,
    mean,
    ratio_of,
    share_of,
)
from builder.evaluation.scores import ExcerptScore, ScoredAnswer, Scores, compare
from builder.evaluation.scoring import score
from contract.errors import CorpusError, EvaluationError
from contract.prompt import PromptEncoder, PromptFormat
from testbed.tokenizer import make_tokenizer
from tests.builder.sample_texts import TEXT


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

    def complete(self, prompts, on_done, *, lines, starts):
        on_done(len(prompts))
        assert all(truth.startswith(start) for truth, start in zip(self.truths, starts, strict=False)) and any(starts)
        truths, self.truths = self.truths[: len(prompts)], self.truths[len(prompts) :]
        return [truth + "  \nand more" for truth in truths]


def oracle(held_out):
    return Oracle([example.as_served(Oracle.encoder).middle for example in (*held_out.fim_examples, *held_out.blocks)])


def test_only_held_out_files_are_scored():
    held_out = make_held_out([file("calibration"), file("held-out", "value = 1\nother = 2\n"), file("validation")],
                             ScoringSettings(positions=50))  # fmt: skip
    assert {example.file.split for example in held_out.fim_examples} == {"held-out"}
    assert [excerpt.text for excerpt in held_out.excerpts] == ["value = 1\nother = 2\n"]


def test_what_is_asked_stays_while_other_lines_change():
    code = "".join(f"value_{number} = compute({number}, base)\n" for number in range(90))
    settings = ScoringSettings(positions=30, excerpts=2, excerpt_chars=200)
    texts = (code, f"import base\n{code}".replace("value_80 =", "number =", 1))
    before, after = (make_held_out([file("held-out", text)], settings) for text in texts)
    asked = [
        {(one.file.text[one.line_start : one.offset], one.middle) for one in held_out.fim_examples}
        for held_out in (before, after)
    ]
    assert len(asked[0] & asked[1]) >= 28


def test_excerpts_of_unchanged_files_stay():
    code = "".join(f"value_{number} = compute({number}, base)\n" for number in range(90))
    settings = ScoringSettings(positions=3, excerpts=40, excerpt_chars=200)
    other = replace(file("held-out", code.replace("value", "other")), path="other.py")
    more = replace(file("held-out", code.replace("value", "third")), path="third.py")
    before, after = (make_held_out(files, settings) for files in ([other, file("held-out", code)], [more, other]))
    kept = [[one.text for one in held_out.excerpts if "other" in one.text] for held_out in (before, after)]
    assert len(kept[0]) > 5 and kept[0][:5] == kept[1][:5]


def test_bits_per_byte_is_bits_over_the_bytes_of_the_text():
    held_out = make_held_out([file("held-out")], ScoringSettings(blocks=5))
    scores = score(oracle(held_out), held_out)
    texts = [excerpt.text for excerpt in held_out.excerpts]
    bits = sum(len(Oracle.encoder.text_ids(text)) for text in texts) / sum(len(text.encode()) for text in texts)
    row = scores.to_json()
    assert row["bits_per_byte"] == pytest.approx(bits)
    for figure in ("fim_exact_match", "fim_edit_similarity", "fim_multi_line_exact_match"):
        assert row[figure] == 1.0
    assert (row["positions"], row["multi_line_positions"]) == (len(held_out.fim_examples), 5)
    assert row["languages"]["Python"]["bits_per_byte"] == pytest.approx(bits)
    assert Scores.from_record(json.loads(json.dumps(scores.to_record()))) == scores


def test_nothing_held_out_is_said():
    with pytest.raises(CorpusError, match="held-out"):
        make_held_out([file("calibration")], ScoringSettings())


def make_scores(answers, truths, nats=()):
    lines = tuple(ScoredAnswer(answer=a, truth=t, language="Python") for a, t in zip(answers, truths, strict=True))
    excerpts = tuple(ExcerptScore(nats=n, bytes=100, language="Python") for n in nats)
    return Scores(name="m", parameters=1, bytes=1, lines=lines, excerpts=excerpts)


def test_the_comparison_is_paired():
    truths = [str(i) for i in range(100)]
    base = make_scores([t if i < 50 else "x" for i, t in enumerate(truths)], truths, range(10, 90))
    same = compare(base, base)  # unpaired draws would spread
    assert same["bits_per_byte_ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    none_differs = same["exact_match_difference"]
    assert none_differs == {"value": 0.0, "low": -none_differs["high"], "high": pytest.approx(0.037, abs=0.001)}
    half = make_scores([t if i < 25 else "x" for i, t in enumerate(truths)], truths, range(20, 180, 2))
    compared = compare(half, base)
    difference = compared["exact_match_difference"]
    assert difference["low"] < difference["value"] == -0.25 < difference["high"]
    assert compared["bits_per_byte_ratio"] == pytest.approx({"value": 2.0, "low": 2.0, "high": 2.0})


def test_answers_to_other_lines_are_not_compared():
    scores = make_scores(["a", "b"], ["a", "b"], [10, 20])
    moved = replace(scores, lines=tuple(replace(line, file="other.py") for line in scores.lines))
    longer = replace(scores, excerpts=tuple(replace(excerpt, bytes=200) for excerpt in scores.excerpts))
    for other in (make_scores(["a", "b"], ["a", "c"], [10, 20]), moved, longer):
        with pytest.raises(EvaluationError, match="different lines"):
            compare(scores, other)
    assert "bits_per_byte_ratio" not in compare(scores, replace(scores, excerpts=()))


def test_bootstrap_covers_the_known_spread_of_a_proportion():
    values = [i < 300 for i in range(1000)]
    interval = bootstrap(lambda drawn: mean([values[i] for i in drawn]), 1000)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert interval.value == 0.3
    assert interval.low == pytest.approx(0.3 - half, abs=0.008)
    assert interval.high == pytest.approx(0.3 + half, abs=0.008)


@pytest.mark.parametrize("hit", [False, True])
def test_a_share_of_none_or_all_has_an_interval(hit):
    interval = share_of([hit] * 50, [str(i % 10) for i in range(50)])
    assert interval.value == hit
    assert (1 - interval.low if hit else interval.high) == pytest.approx(1.96**2 / (50 + 1.96**2))  # Wilson at 0 of 50
    assert interval.high - interval.low < 0.08


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 30))
def test_the_interval_of_a_difference_leaves_zero_out_if_a_sign_test_does(wins, losses, alike):
    differing = wins + losses
    assume(differing + alike > 0)
    low, high = by_signs(wins, losses, differing + alike)
    p = 2 * sum(math.comb(differing, k) for k in range(max(wins, losses), differing + 1)) / 2**differing
    assert (not low <= 0 <= high) == (p < 0.05)
    assert low <= (wins - losses) / (differing + alike) <= high


@given(st.integers(20, 2000))
def test_the_first_lines_that_differ_make_an_interval_no_narrower(count):
    """One win of fifty lines said -1.9 to +2.0 points where none had said -7.1 to +7.1."""
    none, *won = (by_signs(wins, 0, count) for wins in range(3))
    assert none == pytest.approx((-(1.96**2) / (count + 1.96**2), 1.96**2 / (count + 1.96**2)), rel=1e-3)
    assert won == [(-low, -high)[::-1] for low, high in (by_signs(0, losses, count) for losses in (1, 2))]
    for (low, high), (next_low, next_high) in itertools.pairwise([none, *won]):
        assert low <= next_low < 0 and high < next_high <= 1, "each win moves both ends up"
    widths = [high - low for low, high in (none, *won)]
    assert widths == sorted(widths)
    low, high = by_signs(1, 1, count)
    assert low <= none[0] and high >= none[1]


def test_the_exact_interval_is_clopper_and_pearson_s():
    low, high = by_signs(8, 2, 10)
    assert ((low + 1) / 2, (high + 1) / 2) == pytest.approx((0.4439, 0.9748), abs=1e-4)
    assert by_signs(2000, 0, 2000)[0] == pytest.approx(2 * 0.025 ** (1 / 2000) - 1)


def test_a_few_lost_lines_are_no_loss():
    """Four of fifty in four of ten files: a bootstrap alone says from -16 to -2 points."""
    files = [str(i % 10) for i in range(50)]

    def lead(losses):
        return difference_of([i >= losses for i in range(50)], [True] * 50, files)

    assert lead(4).value == -0.08
    assert lead(4).low < -0.08 < 0 < lead(4).high
    assert lead(8).high < 0


def test_lines_of_one_file_are_drawn_together():
    """All lines of a file are right or wrong alike: the spread is that of twenty files, not of a thousand lines."""
    files = [str(i // 50) for i in range(1000)]
    values = [int(file) % 2 for file in files]
    interval = bootstrap(lambda drawn: mean([values[i] for i in drawn]), 1000, files=files)
    assert interval.value == 0.5
    assert 0.18 < 0.5 - interval.low < 0.3 and 0.18 < interval.high - 0.5 < 0.3
    few = bootstrap(lambda drawn: mean([i < 25 for i in drawn]), 100, files=[str(i // 25) for i in range(100)])
    assert few.low == 0.0 and few.high == pytest.approx(2 / 3), "of four files three are drawn"
    alone = bootstrap(lambda drawn: mean([values[i] for i in drawn]), 1000, files=["one"] * 1000)
    assert alone == bootstrap(lambda drawn: mean([values[i] for i in drawn]), 1000)


@pytest.mark.parametrize("files", [2, 3, 5])
def test_few_files_that_differ_show_no_loss(files):
    """Each of a few files needs a few per cent more bits or lines, as far apart as files are: that may be chance."""
    names = [str(i % files) for i in range(8 * files)]
    ours = [400 * (1.02 if name == "0" else 1.005) for name in names]
    ratio = ratio_of(ours, [400.0] * len(ours), names)
    assert ratio.low < 1 < ratio.value < ratio.high
    lost = difference_of([name == "0" for name in names], [True] * len(names), names)
    assert lost.value == pytest.approx(1 / files - 1) and (lost.high > 0) == (files < 5)


def test_student_s_interval_of_many_files_is_the_normal_one():
    assert [_student(freedom) for freedom in (1, 10)] == [12.706, 2.228]
    assert [_student(freedom) for freedom in (11, 20, 1000)] == pytest.approx([2.201, 2.086, 1.962], abs=3e-3)


def test_a_comparison_counts_its_files():
    truths = [str(i) for i in range(50)]
    base, ours = make_scores(truths, truths, [400.0]), make_scores(["x"] * 50, truths, [401.0])
    compared = compare(ours, base)
    assert compared["files"] == 1 and compared["exact_match_difference"]["high"] < 0
    apart = [replace(line, file=str(i % 9)) for i, line in enumerate(ours.lines)]
    pair = [replace(scores, lines=tuple(apart), excerpts=()) for scores in (ours, base)]
    assert compare(*pair)["files"] == 9


def test_white_space_at_the_end_does_not_count():
    assert is_exact("return x  ", "return x")
    assert not is_exact(" return x", "return x")
    assert edit_similarity("abcd", "abxd") == pytest.approx(0.75)

"""The report: one file, nothing fetched, nothing in it that a repository's text could run."""

import re

import pytest

from submodel.report.render import choose_examples, render_report


def model(name, parameters, bits, exact, positions=200):
    return {
        "name": name,
        "parameters": parameters,
        "bytes": parameters * 2,
        "bits_per_byte": bits,
        "fim_exact_match": exact,
        "fim_exact_match_interval": [exact - 0.05, exact + 0.05],
        "fim_edit_similarity": 0.5,
        "positions": positions,
    }


def against_base(value, low, high):
    return {
        "exact_match_difference": {"value": value, "low": low, "high": high},
        "bits_per_byte_ratio": {"value": 0.9, "low": 0.85, "high": 0.95},
    }


def answer(base, ours, truth="x = 1"):
    return {"path": "a.py", "offset": 3, "line": "    ", "truth": truth, "answers": {"base": base, "sub-model": ours}}


def document(**changes):
    return {
        "models": [model("base", 494_000_000, 0.5, 0.2), model("sub-model", 300_000_000, 0.45, 0.3)],
        "against_base": {"sub-model": against_base(0.1, 0.02, 0.18)},
        "base": {"name": "qwen", "licence": "Apache-2.0"},
        "plan": {
            "vocabulary": {"base": 150, "kept": 20},
            "feed_forward_width": {"base": 512, "kept": 384},
            "layers": 2,
            "layer_output_error": [0.01, 0.02],
        },
        "calibration": {"sequences": 3, "tokens": 600, "prompt_format": "fill-in-the-middle"},
        "finetuning": {
            "minutes": 4.0,
            "tokens": 9000,
            "tokens_per_s": 200.0,
            "kept_step": 8,
            "curve": [
                {"seconds": 5.0, "validation": 2.0},
                {"seconds": 60.0, "validation": 1.8, "training": 2.1},
                {"seconds": 120.0, "validation": 1.7, "training": 1.9},
            ],
        },
        "threshold": {
            "positions": 150,
            "curve": [
                {"threshold": 0.1, "coverage": 0.8, "precision": 0.3},
                {"threshold": 0.6, "coverage": 0.2, "precision": 0.75},
            ],
        },
        "parity": {"greedy_agreement": 0.97, "greedy_tokens": 512, "loss_increase": 0.003},
        "corpus": {
            "languages": {"Python": {"files": 3, "bytes": {"calibration": 9000, "held-out": 2000}}},
            "skipped": {},
        },
        "stages": [{"name": "prune", "seconds": 10.0, "is_fresh": True}],
        "answers": [answer("x = 1", "x = 1"), answer("y", "x = 1"), answer("x = 1", "z"), answer("y", "z")],
        **changes,
    }


def test_it_is_one_file_that_fetches_nothing():
    page = render_report(document(), title="repo")
    assert not re.search(r"(src|href)\s*=|@import|url\(|<script|https?://", page)
    assert "61% of the base" in page
    assert page.count("<svg") == 4


def test_text_of_the_repository_is_text():
    hostile = "<script>alert(1)</script>"
    page = render_report(document(answers=[answer(hostile, hostile, hostile)]), title=hostile)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.2, "more lines exactly"), (-0.2, -0.01, "fewer lines"), (-0.1, 0.1, "about as many")],
)
def test_the_verdict_follows_the_interval(low, high, words):
    compared = {"sub-model": against_base((low + high) / 2, low, high)}
    assert words in render_report(document(against_base=compared), title="r")


def test_what_was_not_measured_is_left_out():
    bundle = {"name": "bundle", "parameters": 3, "bytes": 4}
    page = render_report(
        document(models=[bundle], against_base={}, answers=[], finetuning={"minutes": 0.0}, threshold={}), title="r"
    )
    assert "was not measured" in page
    assert "Fine-tuning" not in page
    assert "When it speaks" not in page
    assert "side by side" not in page


def test_an_evaluation_and_a_loss_are_shown():
    row = {**model("base", 3, 0.5, 0.2), "fim_identifier_match": 0.31, "fim_multi_line_exact_match": 0.12,
           "fim_multi_line_edit_similarity": 0.61}  # fmt: skip
    program = {
        "name": "sub-model",
        "task": "completion",
        "pass_at_1": 0.25,
        "pass_at_1_interval": [0.2, 0.3],
        "questions": 164,
    }
    functional = {"functions_tried": 9, "functions_covered": 7, "models": {"base": {"passed": [True, False]}}}
    evaluation = {
        "models": [row],
        "baselines": [],
        "against": "base",
        "against_base": {"sub-model": against_base(0.1, 0.02, 0.18)},
        "humaneval": [program],
        "functional": functional,
    }
    page = render_report(document(evaluation=evaluation, is_worse=True), title="r")
    for words in ("31.0%", "12.0%", "25.0% (20–30)", "7 of 9", "1 pass", "worse than its base"):
        assert words in page, words
    plain = render_report(document(), title="r")
    assert "submodel eval --humaneval" in plain
    assert "worse than its base" not in plain


def test_examples_show_losses_too():
    chosen = choose_examples(document()["answers"] * 3, 5)
    pairs = [(one["answers"]["base"], one["answers"]["sub-model"]) for one in chosen]
    assert pairs[:4] == [("y", "x = 1"), ("x = 1", "z"), ("x = 1", "x = 1"), ("y", "z")]
    assert len(choose_examples(document()["answers"][:2], 5)) == 2

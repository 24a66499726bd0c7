"""The report: one file, nothing fetched, nothing in it that a repository's text could run."""

import json
import re

import pytest

from contract.files.seals import seal_key, sealed_json
from contract.files.whole_files import write_text
from submodel.build.paths import BuildPaths
from submodel.report.render import EVALUATION, choose_examples, render_beside_evaluation, render_report
from testbed.reports import against_base, answer, document, model


def test_it_is_one_file_that_fetches_nothing():
    page = render_report(document(), title="repo")
    assert not re.search(r"(src|href)\s*=|@import|url\(|<script|https?://", page)
    assert "61% of the base" in page
    assert page.count("<svg") == 3


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
    sub_model = {"name": "sub-model", "parameters": 3, "bytes": 4}
    page = render_report(
        document(models=[sub_model], against_base={}, answers=[], finetuning={"minutes": 0.0}), title="r"
    )
    assert "was not measured" in page
    assert "Fine-tuning" not in page
    assert "side by side" not in page


def test_a_kept_evaluation_stays_in_the_report_and_says_whose_it_is(tmp_path):
    paths = BuildPaths(root=tmp_path)
    figures = {"models": [], "baselines": [], "against": "base", "against_base": {}, "graph": {"sha256": "a"}}
    write_text(paths.evaluation, sealed_json(seal_key(), EVALUATION, "evaluation.json", figures))
    another = "of another version or precision of the sub-model"
    page = render_beside_evaluation(document(), paths, {"sha256": "a"}, title="r")
    assert "submodel eval" in page and another not in page and "was not measured" not in page
    assert another in render_beside_evaluation(document(), paths, {"sha256": "b"}, title="r")
    assert another in render_beside_evaluation(document(), paths, None, title="r")
    broken = sealed_json(seal_key(), EVALUATION, "evaluation.json", {"models": 3})
    for unread in ("{", "[]", broken, json.dumps(figures)):  # the last one is a stranger's
        write_text(paths.evaluation, unread)
        assert render_beside_evaluation(document(), paths, None, title="r") == render_report(document(), title="r")


def test_an_evaluation_and_a_loss_are_shown():
    row = {**model("base", 3, 0.5, 0.2), "fim_multi_line_exact_match": 0.12,
           "fim_multi_line_edit_similarity": 0.61}  # fmt: skip
    evaluation = {
        "models": [row],
        "baselines": [],
        "against": "base",
        "against_base": {"sub-model": against_base(0.1, 0.02, 0.18)},
    }
    page = render_report(document(evaluation=evaluation, is_worse=True), title="r")
    for words in ("12.0%", "worse than its base"):
        assert words in page, words
    assert "worse than its base" not in render_report(document(), title="r")


def test_examples_show_losses_too():
    chosen = choose_examples(document()["answers"] * 3, 5)
    pairs = [(one["answers"]["base"], one["answers"]["sub-model"]) for one in chosen]
    assert pairs[:4] == [("y", "x = 1"), ("x = 1", "z"), ("x = 1", "x = 1"), ("y", "z")]
    assert len(choose_examples(document()["answers"][:2], 5)) == 2

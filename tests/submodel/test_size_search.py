"""The search finds the smallest size that passes, and says when none does."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.evaluation.held_out import make_held_out
from builder.evaluation.scores import is_worse
from contract.console import StageDisplay
from contract.errors import BuildError
from contract.files.folders import IGNORED
from submodel.build import pipeline
from submodel.build.build_settings import BuildSettings
from submodel.build.size_search import MOST_TRIED, SIZES, is_as_good, smallest_size
from testbed.models import save_base
from testbed.python_files import write_python


@given(st.integers(0, len(SIZES) - 1))
def test_the_smallest_that_passes_is_found_in_few_trials(place):
    tried = []

    def passes(size):
        tried.append(size)
        return size >= SIZES[place]

    assert smallest_size(SIZES, passes) == SIZES[place]
    assert len(tried) <= 4
    assert len(set(tried)) == len(tried)


def test_no_search_tries_more_than_is_said_of_the_disk():
    def sum_tried(place):
        tried = []

        def passes(size):
            tried.append(size)
            return size in SIZES[place:]

        with suppress(BuildError):  # at the last place: none passes
            smallest_size(SIZES, passes)
        return sum(tried)

    assert max(sum_tried(place) for place in range(len(SIZES) + 1)) == pytest.approx(MOST_TRIED)


def test_none_that_passes_is_said():
    with pytest.raises(BuildError, match="--minutes"):
        smallest_size(SIZES, lambda size: False)


def test_sizes_out_of_reach_are_said():
    with pytest.raises(BuildError, match="vocabulary"):
        smallest_size([], lambda size: True)


@pytest.mark.parametrize(
    ("exact", "bits", "worse", "as_good"),
    [
        ((-0.1, 0.0), (0.9, 1.1), False, True),
        ((-0.2, -0.01), (0.9, 1.1), True, False),
        ((0.0, 0.1), (1.01, 1.1), True, False),
        ((-0.1, 0.1), (0.95, 1.1), False, False),  # within chance, but more bits on what was asked
    ],
)
def test_only_what_chance_does_not_explain_is_worse_and_a_search_asks_for_more(exact, bits, worse, as_good):
    figures = {
        name: {"value": sum(ends) / 2, "low": ends[0], "high": ends[1]}
        for name, ends in (("exact_match_difference", exact), ("bits_per_byte_ratio", bits))
    }
    assert is_worse(figures) is worse
    assert not is_worse({**figures, "files": 1}), "which says nothing about other files"
    assert is_as_good(figures) is as_good


@pytest.mark.slow
def test_a_build_searches_its_size_on_validation_files_and_its_report_says_so(tmp_path, monkeypatch):
    repository, output = write_python(tmp_path / "repository", range(24), functions=30), tmp_path / "output"
    splits, judged = [], []

    def note_split(files, settings, *, split="held-out"):
        splits.append((split, settings.positions))
        return make_held_out(files, settings, split=split)

    def pass_all(figures):
        judged.append(figures)
        return True

    monkeypatch.setattr(pipeline, "make_held_out", note_split)
    monkeypatch.setattr(pipeline, "is_as_good", pass_all)
    monkeypatch.setattr(pipeline, "SIZES", (0.8, 0.9))
    monkeypatch.setattr(pipeline, "least_size_for", lambda *_: 0.8)
    settings = BuildSettings(
        repository=repository,
        output=output,
        base=str(save_base(tmp_path / "base", kind="qwen2")),
        size=None,
        minutes=0,
        quantize="fp32",
        positions=5,
        search_positions=4,
    )
    (output / "dense-baseline").mkdir(parents=True)
    (output / ".gitignore").write_text(IGNORED)
    with StageDisplay() as display:
        document = pipeline.run_build(settings, display)
    assert (output / "trials").is_dir()
    assert not (output / "dense-baseline").exists(), "of another build"
    assert splits == [("held-out", 5), ("validation", 4)]
    assert judged
    search = document["size_search"]
    assert search["size"] == 0.8, "the smaller one, as all pass"
    assert 0.8 in [trial["size"] for trial in search["trials"]]
    assert "searched on validation files" in (output / "report.html").read_text()

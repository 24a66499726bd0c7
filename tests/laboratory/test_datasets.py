"""Datasets: what belongs to them."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.corpus.split import SPLITS
from contract.errors import CorpusError
from laboratory.datasets import open_dataset, open_language
from laboratory.sources.language_sets import LANGUAGE_SETS
from tests.laboratory.tiny_datasets import play_index, write_code


@pytest.fixture
def index(tmp_path, monkeypatch):
    return play_index(tmp_path, monkeypatch)


def test_a_language_is_its_files_alone(index):
    python = open_dataset("language:Python", cache_dir=index)
    script = open_dataset("language:js", cache_dir=index)
    assert python.name == "language:python"
    assert {file.language for file in python.corpus.files} == {"Python"}
    assert {file.language for file in script.corpus.files} == {"JavaScript"}
    assert {Path(file.path).parts[1] for file in script.corpus.files} == {"pack-1", "jack-1"}
    for dataset in (python, script):
        assert all(dataset.select(split) for split in ("calibration", "validation", "held-out"))
    again = open_dataset("language:python", cache_dir=index)
    assert again.corpus.fingerprint == python.corpus.fingerprint


def test_of_a_listed_language_one_whole_package_is_held_out(index, monkeypatch):
    listed = LANGUAGE_SETS["javascript"]
    monkeypatch.setitem(LANGUAGE_SETS, "javascript", replace(listed, held_out="pack"))
    script = open_dataset("language:js", cache_dir=index)
    origins = {split: {Path(file.path).parts[1] for file in script.select(split)} for split in SPLITS}
    assert origins == {"calibration": {"jack-1"}, "validation": {"jack-1"}, "held-out": {"pack-1"}}


def test_files_of_a_language_are_named_as_in_a_repository_where_that_is_one_file(index, tmp_path):
    write_code(tmp_path / "jack", ".js", "//", count=1, lines=70)  # another text than pack's file of that name
    opened = open_language("js", cache_dir=index).corpus
    both = {f"npm/{name}-1/src/part0.js" for name in ("pack", "jack")}
    assert {file.path for file in opened.files} == both | {f"src/part{number}.js" for number in range(1, 40)}
    splits = {file.sha256: file.split for file in open_dataset("language:js", cache_dir=index).corpus.files}
    assert {file.sha256: file.split for file in opened.files} == splits


@pytest.mark.parametrize("listed", LANGUAGE_SETS.values(), ids=LANGUAGE_SETS)
def test_a_listed_language_holds_out_one_of_its_packages(listed):
    assert listed.held_out in {one.name for one in listed.distributions}


def test_documentation_is_split_too_and_is_no_code(index):
    text = open_dataset("text", cache_dir=index)
    assert {file.language for file in text.corpus.files} == {"reStructuredText"}
    assert text.select("calibration") and text.select("held-out")


def test_folders_and_named_distributions(index, tmp_path):
    assert open_dataset(str(tmp_path / "pack"), cache_dir=index).name == "pack"
    named = open_dataset("npm:jack@1", cache_dir=index)
    assert named.name == "npm:jack@1"
    assert {file.language for file in named.corpus.files} == {"JavaScript"}
    with pytest.raises(CorpusError, match="no folder"):
        open_dataset("nowhere", cache_dir=index)

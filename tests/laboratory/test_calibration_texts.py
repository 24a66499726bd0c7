"""Texts to calibrate on: equal amounts of each dataset, in one form, and nothing that is held out."""

import itertools

import pytest

from contract.prompt import PromptEncoder
from laboratory.datasets import open_dataset
from laboratory.experiments.calibration_texts import calibration_sequences, mix
from testbed.tokenizer import FIM, make_tokenizer
from tests.laboratory.tiny_datasets import play_index


@pytest.fixture
def index(tmp_path, monkeypatch):
    return play_index(tmp_path, monkeypatch)


@pytest.mark.parametrize("prompt_format", ["prompt", "plain"])
def test_every_dataset_gives_equal_amounts_in_the_same_form(index, prompt_format):
    encoder = PromptEncoder(make_tokenizer(), FIM)
    opened = [open_dataset(spec, cache_dir=index) for spec in ("language:python", "language:javascript", "text")]
    for dataset in opened:
        sequences = calibration_sequences([dataset], encoder, tokens=3001, seed=1, prompt_format=prompt_format)
        assert sum(map(len, sequences)) == 3001
        middle = encoder.tokenizer.token_to_id(FIM.middle_token)
        assert all((middle in ids) == (prompt_format == "prompt") for ids in sequences[:-1])
    mixed = calibration_sequences(opened, encoder, tokens=3001, seed=1, prompt_format=prompt_format)
    assert sum(map(len, mixed)) == 3001
    text = encoder.tokenizer.decode([i for ids in mixed for i in ids])
    for words in ("compute_py", "compute_js", "chapter"):
        assert words in text
    other = calibration_sequences(opened, encoder, tokens=3001, seed=2, prompt_format=prompt_format)
    assert other != mixed


def test_held_out_files_calibrate_nothing(index):
    encoder = PromptEncoder(make_tokenizer(), FIM)
    dataset = open_dataset("language:python", cache_dir=index)
    held_out = {file.text.split("\n")[1] for file in dataset.select("held-out")}
    assert held_out
    for prompt_format in ("prompt", "plain"):
        sequences = calibration_sequences([dataset], encoder, tokens=12_000, seed=1, prompt_format=prompt_format)
        text = encoder.tokenizer.decode([i for ids in sequences for i in ids])
        assert not any(line in text for line in held_out)


def test_a_mixture_has_as_much_of_each(index):
    opened = [open_dataset(spec, cache_dir=index) for spec in ("language:python", "language:javascript")]
    assert mix(opened[:1]) is opened[0].corpus
    mixed = mix(opened)
    sizes = {
        name: sum(file.size_bytes for file in mixed.select("calibration") if file.language == name)
        for name in ("Python", "JavaScript")
    }
    largest = max(file.size_bytes for file in mixed.files)
    assert abs(sizes["Python"] - sizes["JavaScript"]) <= largest
    assert len({file.path for file in mixed.files}) == len(mixed.files)


def test_pieces_stand_on_what_measured_pieces_stand_on(index):
    """And seeds take pieces of their own, as long as there is text enough."""
    encoder = PromptEncoder(make_tokenizer(), FIM)
    dataset = open_dataset("language:javascript", cache_dir=index)
    drawn = [
        calibration_sequences([dataset], encoder, tokens=3000, seed=seed, prompt_format="plain") for seed in range(8)
    ]
    (line_feed,) = encoder.text_ids("\n")
    assert all(ids[0] == line_feed and ids[1] != line_feed for made in drawn for ids in made)
    first = [set(made[:-1]) for made in drawn]  # the last one is cut off
    assert not any(one & other for one, other in itertools.combinations(first[:4], 2))
    assert first[4] not in first[:4]

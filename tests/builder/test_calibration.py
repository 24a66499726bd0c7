"""What pruning looks at: the server's own prompts, of calibration files alone."""

from collections import Counter

import pytest

from builder.calibration import CalibrationSettings, make_calibration_set
from builder.corpus.corpus import SourceFile
from builder.corpus.split import Split
from contract.errors import CorpusError
from contract.prompt import PromptEncoder, PromptFormat
from testbed.tokenizer import FIM, make_tokenizer
from tests.builder.sample_texts import TEXT

SETTINGS = CalibrationSettings(tokens=600, validation_tokens=200)


def files():
    parts: dict[Split, str] = {"calibration": "alpha", "validation": "beta", "held-out": "gamma"}
    return [
        SourceFile(path=f"{name}.py", language="Python", text=TEXT.replace("settings", name), sha256="0", split=split)
        for split, name in parts.items()
    ]


def decode(encoder, sequences):
    return "".join(encoder.tokenizer.decode(list(ids), skip_special_tokens=False) for ids in sequences)


def test_each_part_comes_from_its_own_files_and_none_from_held_out():
    encoder = PromptEncoder(make_tokenizer(), FIM)
    made = make_calibration_set(files(), encoder, SETTINGS)
    calibration, validation = decode(encoder, made.calibration), decode(encoder, made.validation)
    assert "alpha" in calibration and "beta" not in calibration
    assert "beta" in validation and "alpha" not in validation
    assert "gamma" not in calibration + validation


def test_sequences_are_prompts_with_their_middles():
    encoder = PromptEncoder(make_tokenizer(), FIM)
    made = make_calibration_set(files(), encoder, SETTINGS)
    text = TEXT.replace("settings", "alpha")
    kinds = Counter()
    for ids in made.calibration:
        if encoder.tokenizer.token_to_id(FIM.middle_token) not in ids:
            assert decode(encoder, [ids]) in text
            kinds["plain"] += 1
            continue
        prefix, rest = decode(encoder, [ids]).removeprefix("<|fim_prefix|>").split("<|fim_suffix|>")
        suffix, middle = rest.split("<|fim_middle|>")
        assert text.startswith(prefix + middle + suffix)
        assert suffix
        assert middle.strip()
        kinds["block" if "\n" in middle else "whole" if prefix.endswith("\n") else "line"] += 1
    assert kinds["line"] + kinds["whole"] > 0
    assert kinds["block"] > 0
    assert made.prompt_format == "fill-in-the-middle"


def test_a_base_without_fim_is_calibrated_on_plain_prefixes():
    encoder = PromptEncoder(make_tokenizer(), PromptFormat())
    made = make_calibration_set(files(), encoder, SETTINGS)
    text = TEXT.replace("settings", "alpha")
    assert made.prompt_format == "prefix"
    assert all(text.startswith(decode(encoder, [ids])) for ids in made.calibration)


def test_the_summary_counts_and_the_seed_decides():
    encoder = PromptEncoder(make_tokenizer(), FIM)
    made = make_calibration_set(files(), encoder, SETTINGS)
    assert made.summary()["tokens"] == sum(map(len, made.calibration))
    assert made == make_calibration_set(files(), encoder, SETTINGS)
    other = CalibrationSettings(tokens=600, validation_tokens=200, seed=5)
    assert made != make_calibration_set(files(), encoder, other)


def test_a_part_without_code_is_said():
    with pytest.raises(CorpusError, match="validation part"):
        make_calibration_set(files()[:1], PromptEncoder(make_tokenizer(), FIM), SETTINGS)

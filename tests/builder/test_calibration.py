"""What pruning looks at: the server's own prompts, of calibration files alone."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from builder.calibration import SPREAD_CHARS, CalibrationSettings, make_calibration_set, make_examples
from builder.corpus.corpus import SourceFile
from builder.corpus.split import Split
from contract.errors import CorpusError
from contract.prompt import PromptEncoder, PromptFormat
from testbed.tokenizer import make_tokenizer
from tests.builder.sample_texts import TEXT

FIM = PromptFormat(prefix_token="<|fim_prefix|>", suffix_token="<|fim_suffix|>", middle_token="<|fim_middle|>")
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


def test_windows_that_do_not_overlap_come_first():
    lines = [f"value_{number} = compute(number={number}, factor={number * 7})" for number in range(400)]
    file = SourceFile(path="a.py", language="Python", text="\n".join(lines), sha256="0", split="calibration")
    other = SourceFile(path="b.py", language="Python", text=TEXT, sha256="1", split="validation")
    prompt_format = PromptFormat(max_prefix_tokens=100, prefix_step_tokens=40)
    encoder = PromptEncoder(make_tokenizer(), prompt_format)
    made = make_calibration_set([file, other], encoder, CalibrationSettings(tokens=1500, validation_tokens=200))
    ends = sorted(file.text.index(decode(encoder, [ids])) + len(decode(encoder, [ids])) for ids in made.calibration)
    assert len(ends) > 10
    gaps = [right - left for left, right in itertools.pairwise(ends)]
    assert sum(gap >= SPREAD_CHARS - 100 for gap in gaps) >= 8  # the middles move the ends by up to a line


def test_a_part_without_code_is_said():
    with pytest.raises(CorpusError, match="validation part"):
        make_calibration_set(files()[:1], PromptEncoder(make_tokenizer(), FIM), SETTINGS)


@pytest.mark.parametrize("prompt_format", [FIM, replace(FIM, suffix_first=True)], ids=["prefix first", "suffix first"])
def test_tokens_of_new_lines_are_told_apart(prompt_format):
    encoder = PromptEncoder(make_tokenizer(), prompt_format.with_window(60, 30))
    text = "".join(f"old_{number} = compute(first)\nnew_{number} = compute(first)\n" for number in range(60))
    file = SourceFile(path="a.py", language="Python", text=text, sha256="0", split="calibration")
    examples = make_examples([file], encoder, 4000, 0, is_new=lambda file, line: line.startswith("new_"))
    assert len(examples) > 20
    for example in examples:
        assert len(example.new) == len(example.ids)
        flagged = decode(encoder, [[one for one, is_new in zip(example.ids, example.new, strict=True) if is_new]])
        others = decode(encoder, [[one for one, is_new in zip(example.ids, example.new, strict=True) if not is_new]])
        assert "old_" not in flagged and "new_" not in others
        assert "<|fim" not in flagged
    middles = [decode(encoder, [example.ids[example.prompt_tokens :]]) for example in examples]
    whole = [one for one, example in zip(middles, examples, strict=True) if example.prompt_tokens < len(example.ids)]
    assert sum("new_" in one for one in whole[:10]) > sum("old_" in one for one in whole[:10])


def test_a_middle_within_a_new_line_is_new():
    encoder = PromptEncoder(make_tokenizer(), replace(FIM, suffix_first=True).with_window(60, 30))
    text = "".join(f"item_{number} = compute(first, {number})\n" for number in range(40))
    file = SourceFile(path="a.py", language="Python", text=text, sha256="0", split="calibration")
    new = {f"item_{number} = compute(first, {number})" for number in range(0, 40, 8)}
    for example in make_examples([file], encoder, 600, 0, is_new=lambda file, line: line in new)[:4]:
        assert all(example.new[example.prompt_tokens :])

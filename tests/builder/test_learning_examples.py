"""What fine-tuning learns from: windows that lie apart, and which of their tokens are new."""

import itertools
from dataclasses import replace

import pytest

from builder.corpus.corpus import SourceFile
from builder.learning_examples import SPREAD_CHARS, make_examples, make_sequences
from contract.prompt import PromptEncoder, PromptFormat
from testbed.tokenizer import FILE_TOKEN, FIM, FIM_TOKENS, make_tokenizer
from tests.builder.test_calibration import decode


def test_windows_that_do_not_overlap_come_first():
    lines = [f"value_{number} = compute(number={number}, factor={number * 7})" for number in range(400)]
    file = SourceFile(path="a.py", language="Python", text="\n".join(lines), sha256="0", split="calibration")
    prompt_format = PromptFormat(max_prefix_tokens=100, prefix_step_tokens=40)
    encoder = PromptEncoder(make_tokenizer(), prompt_format)
    read = [decode(encoder, [ids]) for ids in make_sequences([file], encoder, 1500, 0)]
    ends = sorted(file.text.index(text) + len(text) for text in read)
    assert len(ends) > 10
    gaps = [right - left for left, right in itertools.pairwise(ends)]
    assert sum(gap >= SPREAD_CHARS - 100 for gap in gaps) >= 8  # the middles move the ends by up to a line


def test_each_example_begins_with_the_path_of_its_file():
    """As the server's prompt does, plain text, too; the path is no part of what is new."""
    tokenizer = make_tokenizer(control_tokens=(*FIM_TOKENS, FILE_TOKEN))
    encoder = PromptEncoder(tokenizer, replace(FIM, stop_tokens=(FILE_TOKEN,)).as_taught().with_window(60, 30))
    text = "".join(f"item_{number} = compute(first, {number})\n" for number in range(60))
    file = SourceFile(path="app/store.py", language="Python", text=text, sha256="0", split="calibration")
    head = encoder.path_ids("app/store.py")
    examples = tuple(make_examples([file], encoder, 4000, 0, is_new=lambda file, line: True))
    assert len(head) > 1 and len(examples) > 20
    for example in examples:
        assert example.ids[: len(head)] == tuple(head)
        assert example.prompt_tokens > len(head) and not any(example.new[: len(head)])


@pytest.mark.parametrize("prompt_format", [FIM, replace(FIM, suffix_first=True)], ids=["prefix first", "suffix first"])
def test_tokens_of_new_lines_are_told_apart(prompt_format):
    encoder = PromptEncoder(make_tokenizer(), prompt_format.with_window(60, 30))
    text = "".join(f"old_{number} = compute(first)\nnew_{number} = compute(first)\n" for number in range(60))
    file = SourceFile(path="a.py", language="Python", text=text, sha256="0", split="calibration")
    examples = tuple(make_examples([file], encoder, 4000, 0, is_new=lambda file, line: line.startswith("new_")))
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


def test_the_windows_that_show_most_new_lines_are_read_first():
    encoder = PromptEncoder(make_tokenizer(), replace(FIM, suffix_first=True).with_window(150, 30))
    text = "".join(f"item_{number} = compute(first, {number})\n" for number in range(400))
    file = SourceFile(path="a.py", language="Python", text=text, sha256="0", split="calibration")
    dense, alone = range(300, 310), range(0, 280, 14)
    new = {f"item_{number} = compute(first, {number})" for number in (*dense, *alone)}
    for seed in range(6):
        first, *_ = make_examples([file], encoder, 4000, seed, is_new=lambda file, line: line in new, covers=True)
        assert any(f"item_{number} " in decode(encoder, [first.ids]) for number in dense)


def test_a_word_of_the_cut_line_is_not_new_elsewhere():
    encoder = PromptEncoder(make_tokenizer(), replace(FIM, suffix_first=True).with_window(60, 30))
    text = "return\n" * 6 + "return compute(first, second)\n" + "return\n" * 6
    file = SourceFile(path="a.py", language="Python", text=text, sha256="0", split="calibration")
    for example in make_examples([file], encoder, 3000, 0, is_new=lambda file, line: "compute" in line):
        flagged = [one for one, is_new in zip(example.ids, example.new, strict=True) if is_new]
        assert decode(encoder, [flagged]).count("return") <= 1


def test_a_middle_within_a_new_line_is_new():
    encoder = PromptEncoder(make_tokenizer(), replace(FIM, suffix_first=True).with_window(60, 30))
    text = "".join(f"item_{number} = compute(first, {number})\n" for number in range(40))
    file = SourceFile(path="a.py", language="Python", text=text, sha256="0", split="calibration")
    new = {f"item_{number} = compute(first, {number})" for number in range(0, 40, 8)}
    for example in itertools.islice(make_examples([file], encoder, 600, 0, is_new=lambda file, line: line in new), 4):
        assert all(example.new[example.prompt_tokens :])

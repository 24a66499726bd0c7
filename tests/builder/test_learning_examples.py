"""What fine-tuning learns from: windows that lie apart, behind the path of their file."""

import itertools
from dataclasses import replace

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
    """As the server's prompt does, plain text, too."""
    tokenizer = make_tokenizer(control_tokens=(*FIM_TOKENS, FILE_TOKEN))
    encoder = PromptEncoder(tokenizer, replace(FIM, stop_tokens=(FILE_TOKEN,)).as_taught().with_window(60, 30))
    text = "".join(f"item_{number} = compute(first, {number})\n" for number in range(60))
    file = SourceFile(path="app/store.py", language="Python", text=text, sha256="0", split="calibration")
    head = encoder.path_ids("app/store.py")
    examples = tuple(make_examples([file], encoder, 4000, 0))
    assert len(head) > 1 and len(examples) > 20
    for example in examples:
        assert example.ids[: len(head)] == tuple(head)
        assert example.prompt_tokens > len(head)

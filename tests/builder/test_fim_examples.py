"""Where cuts fall, and that what they hide is really hidden."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.corpus.corpus import SourceFile
from builder.fim_examples import (
    MAX_BLOCK_LINES,
    PARITY_PREFIX_TOKENS,
    PARITY_SUFFIX_TOKENS,
    WHOLE_EVERY,
    cut_blocks,
    cut_files,
    cut_mixture,
    cut_twice,
    parity_windows,
)
from contract.prompt import PromptEncoder, PromptFormat, shared_prefix
from tests.builder.tiny import make_tokenizer

FIM = PromptFormat(prefix_token="<|fim_prefix|>", suffix_token="<|fim_suffix|>", middle_token="<|fim_middle|>")
CODE = """# a comment line
def area(width, height):
    # another comment
    result = width * height

    return result
)
"""


def source(text, language="Python", path="a.py"):
    return SourceFile(path=path, language=language, text=text, sha256="0", split="held-out")


def test_blank_comment_and_closer_lines_are_left_out():
    lines = {CODE[: cut.offset].count("\n") for cut in cut_files([source(CODE)], 100, seed=0)}
    assert lines == {1, 3, 5}


def test_documentation_is_not_cut():
    assert cut_files([source(CODE, "Markdown", "a.md")], 10, seed=0) == ()


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_middle_is_the_rest_of_its_line_and_not_in_the_window(seed):
    for cut in cut_files([source(CODE)], 3, seed):
        end = CODE.index("\n", cut.offset)
        assert CODE[cut.offset : end] == cut.middle
        window = cut.window(PromptEncoder(make_tokenizer(), FIM))
        assert window.prefix == CODE[: cut.offset]
        assert window.suffix == CODE[end:]


def test_same_seed_same_cuts_other_seed_others():
    files = [source(CODE * 20)]
    assert cut_files(files, 10, 1) == cut_files(files, 10, 1)
    assert cut_files(files, 10, 1) != cut_files(files, 10, 2)


def test_most_parity_windows_are_small():
    encoder = PromptEncoder(make_tokenizer(), FIM)
    cuts = cut_files([source(CODE * 200)], 2 * WHOLE_EVERY, seed=0)
    windows = parity_windows(cuts, encoder)
    for index, (cut, window) in enumerate(zip(cuts, windows, strict=True)):
        if index % WHOLE_EVERY == 0:
            assert window == cut.window(encoder)
        else:
            assert len(encoder.text_ids(window.prefix)) <= PARITY_PREFIX_TOKENS
            assert len(encoder.text_ids(window.suffix)) <= PARITY_SUFFIX_TOKENS


def test_half_of_the_cuts_are_within_a_line():
    cuts = cut_files([source("    total = compute(first, second)\n" * 400)], 400, seed=0)
    inner = sum(cut.middle != "total = compute(first, second)" for cut in cuts)
    assert 140 < inner < 260


def test_a_line_that_is_cut_twice_is_read_once():
    body = "".join(f"    value_{i} = compute(value, {i})\n    pass\n" for i in range(40))
    file = source(f"def f(value):\n{body}")
    cuts = cut_twice([file], 30, seed=4)
    assert cuts == cut_twice([file], 30, seed=4)
    assert len(cuts) == 60
    encoder = PromptEncoder(make_tokenizer(), replace(FIM, suffix_first=True))
    for first, second in list(pairwise(cuts))[::2]:
        line = file.text[first.offset :].partition("\n")[0]
        assert first.middle == line
        assert line.endswith(second.middle)
        assert (second.middle == line) == (line == "pass"), "only a line of one word is cut twice at one place"
        asked = [encoder.encode(cut.window(encoder)) for cut in (first, second)]
        assert shared_prefix(*asked) > len(asked[0]) - 6, "up to the line's first token, which the rest may change"


def test_blocks_end_before_blank_lines_and_dedents():
    text = "def f(a):\n    if a:\n        b = 1\n        c = 2\n    return b\n\ndef g():\n    pass\n"
    file = SourceFile(path="a.py", language="Python", text=text, sha256="0", split="held-out")
    blocks = cut_blocks([file], 100, seed=0)
    assert {cut.middle.split("\n")[0] for cut in blocks} == {"def f(a):", "if a:", "b = 1", "def g():"}
    for cut in blocks:
        assert text[cut.offset :].startswith(cut.middle)
        assert 2 <= len(cut.middle.split("\n")) <= MAX_BLOCK_LINES
        assert "\n\n" not in cut.middle
    (inner,) = [cut for cut in blocks if cut.middle.startswith("b")]
    assert inner.middle == "b = 1\n        c = 2"
    assert cut_blocks([file], 2, seed=0) == cut_blocks([file], 2, seed=0)


def test_a_mixture_has_all_kinds_of_positions():
    body = "".join(f"    value_{i} = {i}\n    other_{i} = value_{i}\n" for i in range(40))
    file = SourceFile(path="a.py", language="Python", text=f"def f():\n{body}", sha256="0", split="calibration")
    cuts = cut_mixture([file], 60, seed=3)
    assert len(cuts) == 60
    for cut in cuts:
        assert file.text[cut.offset :].startswith(cut.middle)
    blocks = [cut for cut in cuts if "\n" in cut.middle]
    whole = [cut for cut in cuts if cut.middle.startswith("    ")]
    assert (len(blocks), len(whole)) == (15, 9)
    assert cut_mixture([file], 60, seed=3) == cuts

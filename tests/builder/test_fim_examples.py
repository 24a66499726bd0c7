"""Where cuts fall, and that what they hide is really hidden."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.corpus.corpus import SourceFile
from builder.fim_examples import (
    MAX_BLOCK_LINES,
    PARITY_PREFIX_TOKENS,
    PARITY_SUFFIX_TOKENS,
    WHOLE_EVERY,
    FimExample,
    draw_block_examples,
    draw_fim_examples,
    draw_lasting_examples,
    draw_mixed_examples,
    parity_windows,
)
from contract.prompt import PromptEncoder
from testbed.tokenizer import FIM, make_tokenizer

CODE = """# a comment line
def area(width, height):
    # another comment
    result = width * height

    return result
)
"""


def source(text, language="Python", path="a.py"):
    return SourceFile(path=path, language=language, text=text, sha256="0", split="held-out")


@pytest.mark.parametrize(
    ("column", "taken"),
    [(4, "    "), (10, " result"), (11, " "), (13, " "), (18, " width")],
)
def test_as_served_the_cursor_stands_before_what_the_server_takes_back(column, taken):
    encoder = PromptEncoder(make_tokenizer(), FIM)
    start = CODE.index("    result")
    line = CODE[start : CODE.index("\n", start)]
    drawn = FimExample(file=source(CODE), offset=start + column, middle=line[column:])
    served = drawn.as_served(encoder)
    assert served.middle == taken + drawn.middle
    assert served.text == CODE[: served.offset] + CODE[start + len(line) :]


def test_blank_comment_and_closer_lines_are_left_out():
    lines = {CODE[: example.offset].count("\n") for example in draw_fim_examples([source(CODE)], 100, seed=0)}
    assert lines == {1, 3, 5}


def test_documentation_is_not_cut():
    assert draw_fim_examples([source(CODE, "Markdown", "a.md")], 10, seed=0) == ()


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_middle_is_the_rest_of_its_line_and_not_in_the_window(seed):
    for example in draw_fim_examples([source(CODE)], 3, seed):
        end = CODE.index("\n", example.offset)
        assert CODE[example.offset : end] == example.middle
        window = example.window(PromptEncoder(make_tokenizer(), FIM))
        assert window.prefix == CODE[: example.offset]
        assert window.suffix == CODE[end:]


def places(code, count, seed=1):
    lines = code.split("\n")
    drawn = draw_lasting_examples([source(code)], count, seed)
    return [(lines[code[: one.offset].count("\n")], one.middle) for one in drawn]


def test_lasting_examples_stay_while_other_lines_come_and_go():
    code = "".join(f"value_{number} = compute({number}, base)\n" for number in range(60))
    before, changed = places(code, 20), code.replace("value_7 = compute(7, base)\n", "one = 1\ntwo = base + one\n")
    after = places(f"import base\n\n\n{changed}", 20)
    gone = [place for place in before if "value_7 " in place[0]]
    assert len([place for place in before if place in after]) >= 20 - len(gone) - 3
    assert [place for place in places(f"import base\n\n\n{changed}", 100) if place in before] == [
        place for place in before if place not in gone
    ]


def test_lasting_examples_fewer_are_the_first_of_more_and_a_seed_gives_others():
    code = "".join(f"value_{number} = compute({number}, base)\n" for number in range(60))
    assert places(code, 10) == places(code, 30)[:10]
    assert places(code, 10) != places(code, 10, seed=2)
    cuts = {line.endswith(middle) and line == middle for line, middle in places(code, 60)}
    assert cuts == {True, False}  # before the line's text, and within it


def test_lasting_examples_take_equal_lines_apart():
    assert len(set(places("value = compute(first, second)\n" * 40, 30))) > 1
    assert len(places("value = compute(first, second)\n" * 40, 30)) == 30


def test_same_seed_same_cuts_other_seed_others():
    files = [source(CODE * 20)]
    assert draw_fim_examples(files, 10, 1) == draw_fim_examples(files, 10, 1)
    assert draw_fim_examples(files, 10, 1) != draw_fim_examples(files, 10, 2)


def test_most_parity_windows_are_small():
    encoder = PromptEncoder(make_tokenizer(), FIM)
    fim_examples = draw_fim_examples([source(CODE * 200)], 2 * WHOLE_EVERY, seed=0)
    windows = parity_windows(fim_examples, encoder)
    for index, (example, window) in enumerate(zip(fim_examples, windows, strict=True)):
        if index % WHOLE_EVERY == 0:
            assert window == example.window(encoder)
        else:
            assert len(encoder.text_ids(window.prefix)) <= PARITY_PREFIX_TOKENS
            assert len(encoder.text_ids(window.suffix)) <= PARITY_SUFFIX_TOKENS


def test_half_of_the_cuts_are_within_a_line():
    fim_examples = draw_fim_examples([source("    total = compute(first, second)\n" * 400)], 400, seed=0)
    inner = sum(example.middle != "total = compute(first, second)" for example in fim_examples)
    assert 140 < inner < 260


def test_blocks_end_before_blank_lines_and_dedents():
    text = "def f(a):\n    if a:\n        b = 1\n        c = 2\n    return b\n\ndef g():\n    pass\n"
    file = SourceFile(path="a.py", language="Python", text=text, sha256="0", split="held-out")
    blocks = draw_block_examples([file], 100, seed=0)
    assert {example.middle.split("\n")[0] for example in blocks} == {"def f(a):", "if a:", "b = 1", "def g():"}
    for example in blocks:
        assert text[example.offset :].startswith(example.middle)
        assert 2 <= len(example.middle.split("\n")) <= MAX_BLOCK_LINES
        assert "\n\n" not in example.middle
    (inner,) = [example for example in blocks if example.middle.startswith("b")]
    assert inner.middle == "b = 1\n        c = 2"
    assert draw_block_examples([file], 2, seed=0) == draw_block_examples([file], 2, seed=0)


def test_a_mixture_has_all_kinds_of_positions():
    body = "".join(f"    value_{i} = {i}\n    other_{i} = value_{i}\n" for i in range(40))
    file = SourceFile(path="a.py", language="Python", text=f"def f():\n{body}", sha256="0", split="calibration")
    fim_examples = draw_mixed_examples([file], 60, seed=3)
    assert len(fim_examples) == 60
    for example in fim_examples:
        assert file.text[example.offset :].startswith(example.middle)
    blocks = [example for example in fim_examples if "\n" in example.middle]
    whole = [example for example in fim_examples if example.middle.startswith("    ")]
    assert (len(blocks), len(whole)) == (15, 9)
    assert draw_mixed_examples([file], 60, seed=3) == fim_examples

"""The window and the token layout that the server sends."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BuildError
from contract.prompt import (
    COUNTED_CHARS,
    MAX_PATH_TOKENS,
    ContextSnippet,
    PromptEncoder,
    PromptFormat,
    Window,
    cut_window,
    shared_prefix,
)
from testbed.tokenizer import FILE_TOKEN, FIM, FIM_TOKENS, make_tokenizer

SMALL = PromptFormat(
    prefix_token="a",
    suffix_token="b",
    middle_token="c",
    max_prefix_tokens=40,
    prefix_step_tokens=16,
    max_suffix_tokens=20,
)


@given(st.text("ab \n", max_size=300), st.data())
def test_a_window_is_what_stands_around_the_cursor(text, data):
    offset = data.draw(st.integers(0, len(text)))
    window = cut_window(text, offset, SMALL, len)
    assert text[:offset].endswith(window.prefix)
    assert text[offset:].startswith(window.suffix)
    assert len(window.prefix) <= 40
    assert len(window.suffix) <= 20
    assert window.prefix or not offset, "the model would complete a line that it has not seen"


@given(st.lists(st.integers(0, 1), max_size=40), st.lists(st.integers(0, 1), max_size=40), st.integers(0, 200))
def test_what_two_sequences_share_is_found_as_if_each_element_was_compared(left, right, same):
    left = [7] * same + left
    right = [7] * same + right
    pairs = zip(left, right, strict=False)
    expected = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))
    assert shared_prefix(left, right) == shared_prefix(left, tuple(right)) == expected
    texts = ["".join(map(str, one)) for one in (left, right)]
    assert shared_prefix(*texts) == expected


@given(st.integers(60, 200))
def test_the_start_stays_while_the_cursor_moves_within_a_step(offset):
    """Else the KV cache would be lost at each key."""
    text = "abcdefg\n" * 40
    starts = [at - len(cut_window(text, at, SMALL, len).prefix) for at in range(offset, offset + 16)]
    assert len(set(starts)) <= 2
    assert all(text[start - 1] == "\n" for start in starts)


def test_with_the_suffix_first_typing_only_adds_tokens():
    encoder = PromptEncoder(make_tokenizer(), replace(FIM, suffix_first=True))
    text = "def load(path):\n    return \n\nclass Store:\n"
    offset = text.index("return ") + len("return ")
    before = encoder.encode(encoder.window(text, offset))
    typed = text[:offset] + "self." + text[offset:]
    after = encoder.encode(encoder.window(typed, offset + 5))
    assert shared_prefix(before, after) >= len(before) - 2  # all but the last space, which becomes part of a word
    plain = PromptEncoder(make_tokenizer(), FIM)
    left, right = (plain.encode(cut_window(t, at, FIM, len)) for t, at in ((text, offset), (typed, offset + 5)))
    assert shared_prefix(left, right) < len(left) - 3
    assert sorted(plain.encode(cut_window(text, offset, FIM, len))) == sorted(before)


@pytest.mark.parametrize("closers", [")", '")', "])", "'", ");", '"),', "):", ") {"])
def test_closers_that_an_editor_puts_change_nothing_before_the_cursor(closers):
    encoder = PromptEncoder(make_tokenizer(), replace(FIM, suffix_first=True))
    text = "def load(path):\n    return open\n\nclass Store:\n"
    offset = text.index("open") + len("open")
    before = encoder.encode(encoder.window(text, offset))
    after = encoder.encode(encoder.window(f"{text[:offset]}({closers}{text[offset:]}", offset + 1))
    assert after[: len(before)] == before
    kept = encoder.window("f(a)\n", 2)
    assert kept.suffix == "a)\n"  # an argument is no closer
    assert cut_window("f()\n", 2, FIM, len).suffix == ")\n"
    block_string = '"""Say."""\n'
    assert encoder.window(block_string, block_string.index(".")).suffix == '."""\n'
    assert encoder.window('""""""\n', 3).suffix == '"""\n'


def test_the_suffix_may_come_before_the_prefix():
    encoder = PromptEncoder(make_tokenizer(), replace(FIM, suffix_first=True))
    token = encoder.tokenizer.token_to_id
    assert encoder.encode(Window(prefix="def ", suffix="\n")) == [
        token("<|fim_prefix|>"), token("<|fim_suffix|>"), *encoder.text_ids("\n"),
        token("<|fim_middle|>"), *encoder.text_ids("def "),
    ]  # fmt: skip


def test_the_path_of_the_file_may_stand_in_front():
    tokenizer = make_tokenizer(control_tokens=(*FIM_TOKENS, FILE_TOKEN))
    base = replace(FIM, stop_tokens=(FILE_TOKEN,))
    encoder = PromptEncoder(tokenizer, base.as_taught())
    window = Window(prefix="def ", suffix="\n")
    head = [tokenizer.token_to_id(FILE_TOKEN), *encoder.text_ids("app/store.py\n")]
    assert encoder.encode(window, path="app/store.py") == [*head, *encoder.encode(window)]
    assert encoder.encode(window) == PromptEncoder(tokenizer, replace(FIM, suffix_first=True)).encode(window)
    assert PromptEncoder(tokenizer, base).encode(window, path="a.py") == PromptEncoder(tokenizer, base).encode(window)
    assert FIM.as_taught() == replace(FIM, suffix_first=True), "this base has no token for a file"
    name = "folder/" * 100 + "store.py"
    long = encoder.path_ids(name)
    assert len(long) == 1 + MAX_PATH_TOKENS
    behind_others = encoder.encode(window, [ContextSnippet(path="a.py", text="a = 1\n")], path=name)
    assert behind_others[-len([*long, *encoder.encode(window)]) :] == [*long, *encoder.encode(window)]
    assert encoder.tokenizer.decode(long[1:]).endswith("store.py\n")
    assert base.as_taught() == replace(base, suffix_first=True, path_first=True)


def test_fim_order_is_prefix_suffix_middle():
    encoder = PromptEncoder(make_tokenizer(), FIM)
    ids = encoder.encode(Window(prefix="def ", suffix="\n"))
    token = encoder.tokenizer.token_to_id
    assert ids == [
        token("<|fim_prefix|>"), *encoder.text_ids("def "), token("<|fim_suffix|>"), *encoder.text_ids("\n"),
        token("<|fim_middle|>"),
    ]  # fmt: skip


def test_the_text_behind_the_cursor_is_tokenized_once_while_one_types(monkeypatch):
    encoder, tokenized = PromptEncoder(make_tokenizer(), FIM), []
    text_ids = encoder.text_ids
    monkeypatch.setattr(encoder, "text_ids", lambda text: tokenized.append(text) or text_ids(text))
    for typed in ("", "f", "fo"):
        window = Window(prefix=f"a = {typed}", suffix="\nb = 2\n")
        ids = encoder.encode(window)
        assert ids == PromptEncoder(make_tokenizer(), FIM).encode(window)
        ids.clear()  # who changes a prompt changes no later one
    assert tokenized.count("\nb = 2\n") == 1


def test_a_file_that_spells_a_control_token_stays_text():
    encoder = PromptEncoder(make_tokenizer(), FIM)
    control = encoder.tokenizer.token_to_id("<|fim_middle|>")
    ids = encoder.encode(Window(prefix="x = '<|fim_middle|>'", suffix=""))
    assert ids.count(control) == 1
    assert ids[-1] == control


def test_without_fim_the_prompt_is_the_prefix():
    plain = PromptFormat()
    window = cut_window("one\ntwo", 5, plain, len)
    assert window == Window(prefix="one\nt", suffix="")
    encoder = PromptEncoder(make_tokenizer(), plain)
    assert encoder.encode(window) == encoder.text_ids("one\nt")


def test_format_survives_json_and_refuses_unknown_keys():
    assert PromptFormat.from_json(FIM.to_json()) == FIM
    with pytest.raises(BuildError, match="update submodel"):
        PromptFormat.from_json({"prefix": "x"})


@pytest.mark.parametrize(
    ("positions", "window"), [(8192, (1024, 256)), (1392, (1024, 256)), (512, (256, 64)), (1, (1, 0))]
)
def test_a_window_leaves_room_for_an_answer(positions, window):
    fitting = PromptFormat().fitting(positions)
    assert (fitting.max_prefix_tokens, fitting.max_suffix_tokens) == window
    assert fitting.prefix_step_tokens <= window[0]


def test_half_a_fim_format_is_refused():
    with pytest.raises(BuildError, match="all three"):
        PromptFormat(prefix_token="<P>")


def test_a_missing_token_is_named():
    with pytest.raises(BuildError, match="no token '<P>'"):
        PromptEncoder(
            make_tokenizer(), PromptFormat(prefix_token="<P>", suffix_token="<S>", middle_token="<M>")
        ).encode(Window(prefix="", suffix=""))


def test_pieces_of_other_files_stand_in_front_in_the_base_s_own_form():
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens(["<|repo_name|>", "<|file_sep|>"])
    prompt_format = replace(FIM, stop_tokens=("<|repo_name|>", "<|file_sep|>"))
    encoder = PromptEncoder(tokenizer, prompt_format)
    window = Window(prefix="a", suffix="b")
    snippets = [ContextSnippet(path="x.py", text="one\n\n"), ContextSnippet(path="y.py", text="two")]
    ids = encoder.encode(window, snippets, repository="repo", path="z.py")
    assert tokenizer.decode(ids, skip_special_tokens=False).startswith(
        "<|repo_name|>repo\n<|file_sep|>x.py\none\n<|file_sep|>y.py\ntwo\n<|file_sep|>z.py\n"
    )
    alone = encoder.encode(window)
    assert ids[-len(alone) :] == alone


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("before", range(0, 1000, 25))
def test_a_long_last_line_is_never_left_out(before: int, tokens: int) -> None:
    """A short prompt is smaller than one segment of a long line."""
    prompt_format = replace(FIM, max_prefix_tokens=256, prefix_step_tokens=128)
    text = "short\n" * (before // 6) + "x" * 344
    prefix = cut_window(text, len(text), prompt_format, lambda piece: tokens * len(piece)).prefix
    assert prefix.endswith("x") and 0 < tokens * len(prefix) <= 256
    assert tokens * len(prefix) > 256 - 128 - tokens * 25


@given(st.text("ab \n", max_size=400), st.data())
def test_the_window_holds_as_many_lines_as_fit_and_starts_at_one(text, data):
    offset = data.draw(st.integers(0, len(text)))
    start = offset - len(cut_window(text, offset, SMALL, len).prefix)
    assert start == 0 or text[start - 1] == "\n" or "\n" not in text[start:offset]
    is_whole = start == 0
    line = text[start - 1 : start]
    longest = max(map(len, text.split("\n")), default=0) + 1
    assert is_whole or line != "\n" or offset - start > SMALL.max_prefix_tokens - SMALL.prefix_step_tokens - longest


def test_a_line_that_is_longer_than_the_window_is_cut_within():
    prompt_format = replace(FIM, max_prefix_tokens=1000, prefix_step_tokens=100, max_suffix_tokens=500)
    text = "x" * 10_000
    window = cut_window(text, 7_000, prompt_format, len)
    assert 500 <= len(window.prefix) <= 1000
    assert len(window.suffix) == 400  # one segment; two would be too long


def test_the_start_of_the_window_does_not_move_with_the_length_of_the_file_before_it():
    """Counting starts at a multiple of COUNTED_CHARS, so that a long file costs no more than a short one."""
    counted = []

    def count(line):
        counted.append(line)
        return len(line)

    text = "abcdefg\n" * 100_000
    window = cut_window(text, len(text), SMALL, count)
    assert 24 <= len(window.prefix) <= 40
    assert sum(map(len, counted)) <= 2 * COUNTED_CHARS


def test_tokens_are_counted_and_not_characters():
    encoder = PromptEncoder(make_tokenizer(), replace(FIM, max_prefix_tokens=60, prefix_step_tokens=20))
    text = "def load(path):\n    return open(path)\n\n" * 30
    prefix = encoder.window(text, len(text)).prefix
    assert 20 < len(encoder.text_ids(prefix)) <= 60 < len(prefix)


def test_half_a_character_is_replaced():
    encoder = PromptEncoder(make_tokenizer(), FIM)
    assert encoder.text_ids("a\ud800") == encoder.text_ids("a\ufffd")

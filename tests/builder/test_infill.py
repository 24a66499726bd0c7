"""The base's prompt is what llama.vscode sends and llama.cpp's server makes of it."""

from builder.evaluation.infill import BATCH_TOKENS, InfillEncoder
from builder.evaluation.scoring import without_indentation
from testbed.tokenizer import FIM, make_tokenizer

LINES = [f"value_{number} = compute({number})" for number in range(600)]
TEXT = "\n".join(LINES)


def encoder():
    return InfillEncoder(make_tokenizer(), FIM)


def test_256_lines_stand_before_the_cursor_and_64_behind_it():
    short = "".join(f"{chr(97 + number % 26)}\n" for number in range(600))
    offset = 2 * 300 + 1
    window = encoder().window(short, offset)
    assert (window.prefix.count("\n"), window.suffix.count("\n")) == (256, 65)
    assert window.prefix == short[2 * 44 : offset]
    assert window.suffix == short[offset : 2 * 365]


def test_the_server_keeps_what_fits_into_its_batch():
    asked = encoder()
    offset = TEXT.index("value_400") + len("value")
    window = asked.window(TEXT, offset)
    before, _, typed = window.prefix.rpartition("\n")
    assert typed == "value"
    assert abs(len(asked.text_ids(f"{before}\n")) - BATCH_TOKENS // 4 * 3) <= 1
    assert abs(len(asked.text_ids(window.suffix)) - (BATCH_TOKENS // 4 - 2 - len(asked.text_ids(typed)))) <= 1
    assert TEXT[offset:].startswith(window.suffix)


def test_indentation_is_left_to_the_model_and_taken_off_its_answer():
    text = "def f():\n    return 1\n"
    window = encoder().window(text, len("def f():\n    "))
    assert window.prefix == "def f():\n"
    assert without_indentation("    return 1", "def f():\n    ") == "return 1"
    assert without_indentation("        return 1", "def f():\n    ") == "    return 1"
    assert without_indentation("  1", "return ") == "  1"


def test_the_order_is_the_bases_own():
    asked = encoder()
    token = asked.tokenizer.token_to_id
    ids = asked.encode(asked.window("a\nb", 2))
    assert ids == [
        token("<|fim_prefix|>"), *asked.text_ids("a\n"), token("<|fim_suffix|>"), *asked.text_ids("b\n"),
        token("<|fim_middle|>"),
    ]  # fmt: skip

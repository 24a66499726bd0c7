"""Tokenizers from GGUF files: llama.cpp's ids on the packaged bases, and what is refused."""

import json
from pathlib import Path

import pytest

from builder.bases.catalogue import QWEN_CODER_SMALL, cache_folder
from builder.bases.download import find_gguf
from builder.gguf.reader import open_gguf
from builder.gguf.tokenizer import PRE_TOKENIZERS, read_tokenizer, vocabulary
from contract.errors import BaseModelError
from testbed.gguf_files import SPECIAL, make_parts, write_gguf
from tests.builder.sample_texts import TEXT

GOLDEN = Path(__file__).parent / "golden"  # ids of llama-cpp-python 0.3.36, on the same files


def read(path):
    with open_gguf(path) as gguf:
        return read_tokenizer(gguf)


def check_golden(tokenizer, name):
    rows = json.loads((GOLDEN / f"{name}.ids.json").read_text("utf-8"))
    assert len(rows) >= 10
    for row in rows:
        assert tokenizer.encode(row["text"]).ids == row["ids"], row["name"]


def test_smollm2_gives_llama_cpps_ids(smollm2_gguf):
    found = read(smollm2_gguf)
    check_golden(found.tokenizer, "smollm2-135m")
    assert not found.adds_bos
    assert (found.bos_token, found.eos_token) == ("<|im_start|>", "<|im_end|>")


@pytest.mark.slow
def test_qwen_gives_llama_cpps_ids():
    path = find_gguf(QWEN_CODER_SMALL, cache_folder())
    if path is None:
        pytest.skip("the 491 MB base is not cached: make test-tools")
    found = read(path)
    check_golden(found.tokenizer, "qwen2.5-coder-0.5b")
    for token in ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|im_end|>"):
        assert found.tokenizer.encode(token).tokens == [token]
    assert found.tokenizer.get_vocab_size() == 151_665  # the rows above have no token


@pytest.fixture
def parts():
    return make_parts()


def tiny(tmp_path, parts, **changes):
    _, _, metadata, tensors = parts
    changed = {key: value for key, value in (metadata | changes).items() if value is not None}
    return write_gguf(tmp_path / "tiny.gguf", "llama", changed, tensors)


def test_ids_are_those_of_the_tokenizer_that_was_written(tmp_path, parts):
    original = parts[1]
    found = read(tiny(tmp_path, parts)).tokenizer
    for text in (TEXT, "größe 123\t\n", "".join(SPECIAL) + " x"):
        assert found.encode(text).ids == original.encode(text).ids
        assert found.decode(found.encode(text).ids, skip_special_tokens=False) == text
    assert found.get_vocab() == original.get_vocab()  # no [PAD…]


def test_text_that_spells_a_control_token_can_stay_text(tmp_path, parts):
    found = read(tiny(tmp_path, parts)).tokenizer
    found.encode_special_tokens = True
    ids = found.encode("".join(SPECIAL)).ids
    assert not {found.token_to_id(token) for token in SPECIAL} & set(ids)


def test_user_defined_tokens_are_single_and_are_text(tmp_path, parts):
    kinds = list(parts[2]["tokenizer.ggml.token_type"][1])
    token_id = parts[1].token_to_id("<|fim_middle|>")
    kinds[token_id] = 4
    found = read(tiny(tmp_path, parts, **{"tokenizer.ggml.token_type": ("array", kinds)})).tokenizer
    assert found.encode("a<|fim_middle|>").ids[-1] == token_id
    assert found.decode([token_id]) == "<|fim_middle|>"
    assert found.decode([found.token_to_id("<|fim_prefix|>")]) == ""


def test_a_first_token_is_added_only_where_the_file_says_so(tmp_path, parts):
    bos = {"tokenizer.ggml.bos_token_id": ("uint32", parts[1].token_to_id("<|endoftext|>"))}
    assert read(tiny(tmp_path, parts, **bos)).tokenizer.encode("a").tokens == ["a"]
    said = {"tokenizer.ggml.add_bos_token": ("bool", True)}
    assert read(tiny(tmp_path, parts, **bos, **said)).tokenizer.encode("a").tokens == ["<|endoftext|>", "a"]
    unsaid = {"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.pre": ("string", "llama-bpe")}
    found = read(tiny(tmp_path, parts, **bos, **unsaid))
    assert found.adds_bos
    assert found.tokenizer.encode("a", add_special_tokens=False).tokens == ["a"]


@pytest.mark.parametrize(
    ("pre", "text", "pieces"),
    [
        ("qwen2", "don'T x_1  23\n\n", ["don", "'T", "Ġx", "_", "1", "Ġ", "Ġ", "2", "3", "ĊĊ"]),
        ("smollm", "don't a  23", ["don", "'t", "Ġa", "ĠĠ", "2", "3"]),
        ("starcoder", "v12 3", ["v", "1", "2", "Ġ", "3"]),
        ("gpt-2", "a  123", ["a", "Ġ", "Ġ123"]),
        ("llama-bpe", "a12345", ["a", "123", "45"]),
        ("default", "a=(b 12345", ["a", "=(", "b", "Ġ", "123", "45"]),
    ],
)
def test_text_is_cut_by_the_files_rules(pre, text, pieces):
    assert [piece for piece, _ in PRE_TOKENIZERS[pre]().pre_tokenize_str(text)] == pieces


@pytest.mark.parametrize(("pre", "is_whole"), [("llama-bpe", True), ("gpt-2", False)])
def test_words_of_the_vocabulary_are_taken_unmerged_where_the_rules_say_so(tmp_path, parts, pre, is_whole):
    changes = {"tokenizer.ggml.pre": ("string", pre), "tokenizer.ggml.merges": ("array", ["r e"])}
    found = read(tiny(tmp_path, parts, **changes)).tokenizer
    assert found.encode(" return").tokens == (["Ġreturn"] if is_whole else ["Ġ", "re", "t", "u", "r", "n"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokenizer.ggml.model": ("string", "llama")}, "kind 'llama'"),
        ({"tokenizer.ggml.model": None}, "no 'tokenizer.ggml.model'"),
        ({"tokenizer.ggml.pre": ("string", "tekken")}, "rules 'tekken'"),
        ({"tokenizer.ggml.tokens": None}, "no 'tokenizer.ggml.tokens'"),
        ({"tokenizer.ggml.token_type": None}, "which tokens are special"),
        ({"tokenizer.ggml.token_type": ("array", [1, 1])}, "which tokens are special"),
        ({"tokenizer.ggml.token_type": ("uint32", 3)}, "which tokens are special"),
        ({"tokenizer.ggml.merges": ("array", ["a b c"])}, "merge 'a b c'"),
        ({"tokenizer.ggml.merges": ("array", [1, 2])}, "not a list"),
        ({"tokenizer.ggml.merges": ("array", ["ab"])}, "merge 'ab'"),
        ({"tokenizer.ggml.eos_token_id": ("uint32", 1_000_000)}, "token 1000000 as eos"),
        ({"tokenizer.ggml.add_bos_token": ("bool", True)}, "first token"),
    ],
)
def test_what_cant_be_read_is_refused(tmp_path, parts, changes, reason):
    with pytest.raises(BaseModelError) as caught:
        read(tiny(tmp_path, parts, **changes))
    assert reason in str(caught.value)


def test_a_token_that_stands_twice_is_refused(tmp_path, parts):
    tokens = list(parts[2]["tokenizer.ggml.tokens"][1])
    tokens[10] = tokens[11]
    with pytest.raises(BaseModelError, match="twice"):
        read(tiny(tmp_path, parts, **{"tokenizer.ggml.tokens": ("array", tokens)}))


def test_a_special_token_without_end_is_refused(tmp_path, parts):
    """What looks for special tokens is built in the square of their length."""
    tokens, kinds = (list(parts[2][f"tokenizer.ggml.{name}"][1]) for name in ("tokens", "token_type"))
    tokens[kinds.index(3)] = "<" + "x" * 600 + ">"
    with pytest.raises(BaseModelError, match="more than 512 characters"):
        read(tiny(tmp_path, parts, **{"tokenizer.ggml.tokens": ("array", tokens)}))


def test_only_padding_rows_at_the_end_are_dropped(tmp_path, parts):
    tokens, kinds = (list(parts[2][f"tokenizer.ggml.{name}"][1]) for name in ("tokens", "token_type"))
    used = parts[1].get_vocab_size()
    kinds[-1] = 1  # a true token after padding rows keeps them all
    with open_gguf(tiny(tmp_path, parts, **{"tokenizer.ggml.token_type": ("array", kinds)})) as gguf:
        assert len(vocabulary(gguf)[0]) == len(tokens)
    with open_gguf(tiny(tmp_path, parts)) as gguf:
        assert len(vocabulary(gguf)[0]) == used

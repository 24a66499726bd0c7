"""What strangers' tokenizer.json may hold, and that every fault is one kind of error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.tokenizer_file import MAX_ADDED_CHARS, MAX_ALL_ADDED_CHARS, TokenizerError, read_tokenizer_file
from testbed.tokenizer import make_tokenizer


def save(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    document = json.loads(make_tokenizer(300).to_str())
    change(document)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(document), "utf-8")
    return path


def add(document: dict[str, Any], content: str) -> None:
    document["added_tokens"].append({**document["added_tokens"][0], "content": content, "id": 304})


def test_truncation_and_padding_of_the_training_are_left_out(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
        document["padding"] = {
            "strategy": {"Fixed": 9},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "x",
        }

    text = "def area(self, width, height):"
    ids = read_tokenizer_file(save(tmp_path, change)).encode(text).ids
    assert ids == make_tokenizer(300).encode(text).ids
    assert len(ids) > 4


@pytest.mark.parametrize("length", [1, MAX_ADDED_CHARS, MAX_ADDED_CHARS + 1])
def test_an_added_token_has_so_many_characters_at_most(tmp_path: Path, length: int) -> None:
    """The library builds what looks for them in the square of their length."""
    path = save(tmp_path, lambda document: add(document, "\u20bf" * length))
    if length <= MAX_ADDED_CHARS:
        assert read_tokenizer_file(path).token_to_id("\u20bf" * length) is not None
    else:
        with pytest.raises(TokenizerError, match=r"^it has an added token of 513 characters$"):
            read_tokenizer_file(path)


@pytest.mark.parametrize("number", [255, 257])
def test_all_added_tokens_have_so_many_characters_at_most(tmp_path: Path, number: int) -> None:
    """On 2e053804 6,000 of 512 characters, a file of 9 MB, took 465 MB of memory."""

    def change(document: dict[str, Any]) -> None:
        token = document["added_tokens"][0]
        document["added_tokens"] += [
            {**token, "content": chr(0x4E00 + one) * MAX_ADDED_CHARS, "id": 304 + one} for one in range(number)
        ]

    path = save(tmp_path, change)
    if number * MAX_ADDED_CHARS < MAX_ALL_ADDED_CHARS:
        assert read_tokenizer_file(path).token_to_id("\u4e00" * MAX_ADDED_CHARS) is not None
    else:
        with pytest.raises(TokenizerError, match=r"^it has added tokens of 131,6\d\d characters$"):
            read_tokenizer_file(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "Expecting property name"),
        (b"\xff", "utf-8"),
        (b"[]", "invalid type|expected"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"version": "1.0", "added_tokens": 5}', "added_tokens|invalid type"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=why):
        read_tokenizer_file(path)


def test_an_id_that_tables_would_be_made_for_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, lambda document: document["model"]["vocab"].update({"zzz": 1 << 25}))
    with pytest.raises(TokenizerError, match="token id 33,554,432"):
        read_tokenizer_file(path)

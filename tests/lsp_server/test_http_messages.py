from __future__ import annotations

import json
import os
from typing import Any

import pytest

from contract.prompt import ContextSnippet
from lsp_server.http.messages import (
    Found,
    Refusal,
    read_completion,
    read_infill,
    until_stop,
    write_completion,
    write_infill,
)

FIM = "<|fim_prefix|>a = <|fim_suffix|>\nb = 2\n<|fim_middle|>"


def infill(**document: Any) -> Any:
    return read_infill(json.dumps(document).encode())


def completion(**document: Any) -> Any:
    return read_completion(json.dumps(document).encode())


def test_infill_puts_the_typed_line_behind_the_prefix() -> None:
    wanted = infill(input_prefix="a\n", prompt="  b", input_suffix="\nc", n_predict=-1, stop=["x", ""])
    assert (wanted.text, wanted.offset, wanted.max_tokens, wanted.stop) == ("a\n  b\nc", 5, None, ("x",))


def test_other_files_keep_their_order() -> None:
    wanted = infill(prompt="x", input_extra=[{"filename": "a\nb.py", "text": "1\r\n2"}, {"text": "3"}])
    assert [(one.path, one.text) for one in wanted.context] == [("a b.py", "1\n2"), ("", "3")]


@pytest.mark.parametrize(
    ("prompt", "before", "after"),
    [
        (FIM, "a = ", "\nb = 2\n"),
        ("<fim_prefix>a<fim_suffix>b<fim_middle>", "a", "b"),
        ("<|fim_prefix|><|fim_suffix|><|fim_middle|>", "", ""),
        ("Context:\n\nx" + FIM, "a = ", "\nb = 2\n"),
        ("plain text", "plain text", ""),
        ("<|fim_prefix|>without the others", "<|fim_prefix|>without the others", ""),
        (FIM + "behind", FIM + "behind", ""),
    ],
)
def test_a_prompt_with_fim_tokens_is_taken_apart(prompt: str, before: str, after: str) -> None:
    wanted = completion(prompt=prompt)
    assert (wanted.text[: wanted.offset], wanted.text[wanted.offset :]) == (before, after)
    assert (wanted.context, wanted.path) == ((), "")


def test_files_in_front_of_a_prompt_are_taken_apart() -> None:
    prompt = "<|repo_name|>r\n<|file_sep|>one.py\nx = 1\n<|file_sep|>two.py\n" + FIM
    wanted = completion(prompt=prompt)
    assert wanted.context == (ContextSnippet(path="one.py", text="x = 1\n"),)
    assert (wanted.path, wanted.text, wanted.offset) == ("two.py", "a = \nb = 2\n", 4)


def test_names_of_other_files_have_slashes_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for separator, name in (("\\", "src/a.py"), ("/", "src\\a.py")):
        monkeypatch.setattr(os, "sep", separator)
        (sent,) = infill(prompt="x", input_extra=[{"filename": "src\\a.py", "text": "1"}]).context
        (embedded,) = completion(prompt=f"<|file_sep|>src\\a.py\na = 1\n{FIM}").context
        assert sent.path == embedded.path == name


def test_a_suffix_leaves_the_prompt_as_it_is() -> None:
    assert completion(prompt=FIM, suffix="z").text == FIM + "z"


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"prompt": 1}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": "", "suffix": []}, "suffix"),
        ({"prompt": "", "max_tokens": "4"}, "max_tokens"),
        ({"prompt": "", "max_tokens": True}, "max_tokens"),
        ({"prompt": "", "stop": [1]}, "stop"),
        ({"prompt": "", "stop": 1}, "stop"),
        ({"prompt": "", "path": 1}, "path"),
    ],
)
def test_wrong_kinds_are_named(document: dict[str, Any], name: str) -> None:
    with pytest.raises(Refusal, match=f"^{name} must be") as caught:
        completion(**document)
    assert caught.value.status == 400


FOUND = Found(text="x\ny", model="submodel", prompt_tokens=9, computed_tokens=3, tokens=2)


def test_llama_vim_finds_the_content_by_its_pattern() -> None:
    body = write_infill(infill(prompt="x"), FOUND).body.decode()
    assert '"content":"x\\ny"' in body, "no space behind the colon"
    document = json.loads(body)
    assert document["stop"] and document["timings"] == {"prompt_n": 3, "predicted_n": 2}


def test_response_fields_are_flat() -> None:
    wanted = infill(
        prompt="x", response_fields=["content", "timings/prompt_n", "timings/prompt_ms", "nothing/here", ""]
    )
    assert json.loads(write_infill(wanted, FOUND).body) == {"content": "x\ny", "timings/prompt_n": 3}


def test_a_completion_has_what_zed_requires() -> None:
    document = json.loads(write_completion(completion(prompt="x"), FOUND).body)
    assert document["choices"][0]["text"] == "x\ny"
    assert document["usage"] == {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    assert {"id", "object", "created", "model"} <= set(document)


def events(body: bytes) -> list[str]:
    return [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]


def test_a_stream_of_a_completion_ends_as_openai_s() -> None:
    first, second, end = events(write_completion(completion(prompt="x", stream=True), FOUND).body)
    assert json.loads(first)["choices"][0] == {"index": 0, "text": "x\ny", "logprobs": None, "finish_reason": None}
    assert json.loads(second)["choices"][0]["finish_reason"] == "stop"
    assert end == "[DONE]"


def test_a_stream_of_an_infill_ends_as_llama_cpp_s() -> None:
    first, second = map(json.loads, events(write_infill(infill(prompt="x", stream=True), FOUND).body))
    assert (first["content"], first["stop"]) == ("x\ny", False)
    assert (second["content"], second["stop"]) == ("", True)


def test_the_first_of_the_stops_ends_the_text() -> None:
    assert until_stop("a b c", ("c", "b")) == "a "
    assert until_stop("a b c", ()) == "a b c"

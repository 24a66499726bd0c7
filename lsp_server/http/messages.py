"""Reads and writes the messages of llama.cpp's `/infill` and OpenAI's `/v1/completions`."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contract.prompt import ContextSnippet

MAX_NAME_CHARS: Final = 400
# (before the prefix, before the suffix, before the middle, before a file's name) of Qwen and of StarCoder.
_FIM_TOKENS: Final = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>"),
)
_KINDS: Final = {401: "authentication_error", 404: "not_found_error"}


class Refusal(Exception):
    """A request that is not answered: the status, and one sentence for the client."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that may be answered."""

    method: str
    path: str  # without a query
    headers: dict[str, str]  # by their names in lower case
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is sent back."""

    status: int
    body: bytes
    kind: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a client asks for: a completion at `offset` (code points) of `text`."""

    text: str
    offset: int
    path: str = ""
    language: str | None = None
    context: tuple[ContextSnippet, ...] = ()  # in the client's order, its oldest first
    max_tokens: int | None = None  # 0: the prompt is read, and nothing is answered
    stop: tuple[str, ...] = ()
    stream: bool = False
    user: str = ""  # which client of those that send the same User-Agent
    fields: tuple[str, ...] | None = None  # of the answer, slashes between the levels; None: all


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is answered. `finish`: "stop", or "length" if tokens or time ran out or a newer request came."""

    text: str
    model: str
    finish: str = "stop"
    prompt_tokens: int = 0
    computed_tokens: int = 0  # of the prompt; the others were in the KV cache
    tokens: int = 0
    is_withheld: bool = False  # the model was not asked or was stopped, so that a client should ask again


def read_infill(body: bytes) -> Wanted:
    """Read a request to `/infill`. Raises Refusal if it can't be read."""
    document = _parse(body)
    before = _text(document, "input_prefix") + _text(document, "prompt")
    return Wanted(
        text=before + _text(document, "input_suffix"),
        offset=len(before),
        context=_snippets(document.get("input_extra")),
        max_tokens=_count(document, "n_predict"),
        fields=_fields(document.get("response_fields")),
        **_common(document),
    )


def read_completion(body: bytes) -> Wanted:
    """Read a request to `/v1/completions`. Raises Refusal if it can't be read."""
    document = _parse(body)
    prompt = document.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        document["prompt"] = prompt[0]
    before, after, common = _text(document, "prompt"), _text(document, "suffix"), _common(document)
    context: tuple[ContextSnippet, ...] = ()
    if not after:
        before, after, context, path = _take_apart(before)
        common["path"] = common["path"] or path
    return Wanted(
        text=before + after,
        offset=len(before),
        context=context,
        max_tokens=_count(document, "max_tokens"),
        **common,
    )


def write_infill(wanted: Wanted, found: Found) -> Reply:
    """Write the answer as llama.cpp does, with the figures that were measured.

    An answer that was withheld has no `content`: llama.vim caches an empty one, and would not ask there again.
    """
    answer: dict[str, object] = {
        "index": 0,
        "content": found.text,
        "tokens": [],
        "id_slot": 0,
        "stop": True,
        "model": found.model,
        "tokens_predicted": found.tokens,
        "tokens_evaluated": found.prompt_tokens,
        "tokens_cached": found.prompt_tokens,
        "generation_settings": {},
        "has_new_line": "\n" in found.text,
        "truncated": False,
        "stop_type": "eos" if found.finish == "stop" else "limit",
        "stopping_word": "",
        "timings": {"prompt_n": found.computed_tokens, "predicted_n": found.tokens},
    }
    if found.is_withheld and not wanted.stream:
        del answer["content"]
    if wanted.fields is not None:
        answer = {name: value for name in wanted.fields if (value := _at(answer, name)) is not None}
    if not wanted.stream:
        return json_reply(answer)
    first = {"index": 0, "content": found.text, "tokens": [], "stop": False}
    return _events([first, {**answer, "content": ""}])


def write_completion(wanted: Wanted, found: Found) -> Reply:
    """Write the answer as OpenAI does. The text is one event of a stream, since the filters judge all of it."""
    head = {
        "id": f"cmpl-{uuid.uuid4().hex}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": found.model,
    }
    usage = {
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.tokens,
        "total_tokens": found.prompt_tokens + found.tokens,
    }
    choice = {"index": 0, "text": found.text, "logprobs": None, "finish_reason": found.finish}
    if not wanted.stream:
        return json_reply({**head, "choices": [choice], "usage": usage})
    first = {**head, "choices": [{**choice, "finish_reason": None}]}
    return _events([first, {**head, "choices": [{**choice, "text": ""}], "usage": usage}], "[DONE]")


def json_reply(document: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Return a document as a reply. llama.vim's pattern wants no space behind the colons."""
    return Reply(status=status, body=_json(document).encode(), headers=headers)


def refusal_reply(status: int, sentence: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Return an error as OpenAI and llama.cpp write it."""
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return json_reply({"error": {"code": status, "message": sentence, "type": kind}}, status, headers)


def until_stop(text: str, stops: Sequence[str]) -> str:
    """Return the text before the first of the stop strings; all of it if none stands in it."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "The body is not JSON; send one object.") from error
    if not isinstance(document, dict):
        raise Refusal(400, 'The body is not an object; send one such as {"prompt": ""}.')
    return document


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refusal(400, f"{name} must be text.")
    return value


def _count(document: Mapping[str, Any], name: str) -> int | None:
    """Return a number of tokens; None if there is no limit, which llama.cpp's clients write as -1."""
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise Refusal(400, f"{name} must be a whole number.")
    return value if value >= 0 else None


def _common(document: Mapping[str, Any]) -> dict[str, Any]:
    stop = document.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
        raise Refusal(400, "stop must be a text or a list of texts.")
    return {
        "path": _name(_text(document, "path")),
        "language": _name(_text(document, "language")) or None,
        "stop": tuple(one for one in stops if one),
        "stream": document.get("stream") is True,
        "user": _name(_text(document, "user")),
    }


def _snippets(value: object) -> tuple[ContextSnippet, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Refusal(400, "input_extra must be a list of objects with text and filename.")
    return tuple(_snippet(_text(one, "filename"), _text(one, "text")) for one in value if one.get("text"))


def _snippet(name: str, text: str) -> ContextSnippet:
    # With slashes, as fine-tuning saw names: Windows' clients send backslashes.
    return ContextSnippet(path=_name(name).replace(os.sep, "/"), text=text.replace("\r\n", "\n"))


def _name(name: str) -> str:
    """Return a name on one line. It labels text in a prompt and is never opened."""
    return " ".join(name[:MAX_NAME_CHARS].split())


def _fields(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Refusal(400, "response_fields must be a list of texts.")
    return tuple(value)


def _take_apart(prompt: str) -> tuple[str, str, tuple[ContextSnippet, ...], str]:
    """Return the text before and behind the cursor, other files, and the path. A plain prompt is all before it."""
    for prefix_token, suffix_token, middle_token, file_token in _FIM_TOKENS:
        head, found, rest = prompt.partition(prefix_token)
        if not found or not rest.endswith(middle_token):
            continue
        before, found, after = rest.removesuffix(middle_token).rpartition(suffix_token)
        if not found:
            continue
        files = [one.partition("\n") for one in head.split(file_token)[1:]]
        path = files.pop()[0] if files and not files[-1][2].strip() else ""
        return before, after, tuple(_snippet(name, text) for name, _, text in files if text), _name(path)
    return prompt, "", (), ""


def _at(document: object, name: str) -> object:
    """Return the value at a path such as `timings/prompt_n`; None if there is none."""
    for part in name.split("/"):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _events(documents: Sequence[object], end: str = "") -> Reply:
    lines = [_json(document) for document in documents] + ([end] if end else [])
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return Reply(status=200, body=body, kind="text/event-stream; charset=utf-8")


def _json(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))

"""Messages of the language server protocol as the bytes of a stream."""

from __future__ import annotations

import json
from typing import IO, Any


def framed(message: object) -> bytes:
    """A message as it stands in a stream."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def request(number: int, method: str, params: object) -> bytes:
    """A request as it stands in a stream."""
    return framed({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def notice(method: str, params: object) -> bytes:
    """A notification as it stands in a stream."""
    return framed({"jsonrpc": "2.0", "method": method, "params": params})


def initialize(options: object, **params: Any) -> bytes:
    """The first request, whose number is 1."""
    capabilities: dict[str, Any] = {"textDocument": {"inlineCompletion": {}}}
    return request(
        1,
        "initialize",
        {"processId": None, "rootUri": None, "capabilities": capabilities, "initializationOptions": options, **params},
    )


def read_message(stream: IO[bytes]) -> Any:
    """The next message of a stream. Raises EOFError if the stream ends first."""
    header = stream.readline()
    if not header:
        raise EOFError("The server has gone.")
    while stream.readline().strip():
        pass
    return json.loads(stream.read(int(header.removeprefix(b"Content-Length: "))))


def answer_to(number: int, stream: IO[bytes]) -> Any:
    """The answer to a request; what comes before it is passed over. Raises EOFError if the stream ends first."""
    while True:
        message = read_message(stream)
        if message.get("id") == number and "method" not in message:
            return message

"""A server that is a process of its own, and a client that writes its bytes by hand."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from tests.http_server import HOST, start_listening

TOKEN = "a-token-of-the-tests-own"  # nothing hangs on it
# Two minutes for the first message in place of ten seconds: a busy machine ends no connection that a test does not.
SERVE = """
from lsp_server import tcp
tcp.MAX_WAIT_S = 120.0
from submodel.app import main
main()
"""


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


@contextmanager
def listening(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server that listens on 127.0.0.1, and its port."""
    environment = {**os.environ, "SUBMODEL_TCP_TOKEN": TOKEN}
    command = [sys.executable, "-c", SERVE, "serve", *arguments, "--tcp"]
    with start_listening(command, env=environment) as (server, port, _):
        yield server, port


def connect(port: int, timeout_s: float = 30) -> socket.socket:
    """A connection to a server that listens."""
    return socket.create_connection((HOST, port), timeout=timeout_s)


def is_closed(connection: socket.socket, timeout_s: float) -> bool:
    """Whether the other side ends a connection within a time, whatever it says before."""
    connection.settimeout(timeout_s)
    until = time.monotonic() + timeout_s
    try:
        while time.monotonic() < until:
            if not connection.recv(1 << 16):
                return True
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return False

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

HOST = "127.0.0.1"
TOKEN = "a-token-of-the-tests-own"  # nothing hangs on it


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
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "submodel", "serve", "--tcp", f"{HOST}:{port}", *arguments]
    environment = {**os.environ, "SUBMODEL_TCP_TOKEN": TOKEN}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as server:
        try:
            assert server.stderr is not None
            for line in server.stderr:  # no connection is made to find out: that might be the attack
                if b"Serving on" in line:
                    break
            yield server, port
        finally:
            server.kill()


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

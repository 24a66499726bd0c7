"""`submodel serve --http` as a process of its own, and clients of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from lsp_server.http.guard import read_token

HOST = "127.0.0.1"
# However busy the machine is, an answer has the time that it takes; on battery, too. A silent client is waited for
# longer than any test takes. At its end the server says what it has loaded of what it must do without.
IDLE_S = 600
SERVE = f"""
import functools, signal, sys
from lsp_server import options
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
patient = options.TriggerOptions(budget_ms=60_000, cold_ms=60_000)
unsure = options.ThresholdOptions(confidence=0)  # as a random model is of all that it says
care = options.CareOptions(on_battery="full")
options.ServerOptions = functools.partial(options.ServerOptions, trigger=patient, care=care, threshold=unsure)
from lsp_server.http import http_transport
http_transport.IDLE_S = {IDLE_S}
from submodel.app import main
try:
    main()
finally:
    unwanted = {{"torch", "transformers", "onnx", "onnx_ir", "optimum", "safetensors", "pygls", "lsprotocol"}}
    found = str(sorted(unwanted & set(sys.modules)))
    sys.stderr.write("loaded: " + found + chr(10))  # at once: a thread may log meanwhile
"""


@dataclass
class HttpServer:
    """A server that listens; `end` stops it as Ctrl-C does, and gives what it has said."""

    process: subprocess.Popen[bytes]
    port: int
    said: bytes = b""

    def ask(self, method: str, path: str, document: object = None, **headers: str | None) -> tuple[int, Any]:
        """The status and the body, as JSON where it is such. A header that is None is not sent."""
        connection = HTTPConnection(HOST, self.port, timeout=60)
        body = None if document is None else json.dumps(document)
        given = {"Authorization": f"Bearer {read_token()[0]}", **headers}
        try:
            sent = {name.replace("_", "-"): value for name, value in given.items() if value is not None}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            content = answer.read().decode()
            return answer.status, json.loads(content) if content.startswith("{") else content
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A connection whose bytes are written by hand."""
        return socket.create_connection((HOST, self.port), timeout=30)

    def say(self, message: bytes) -> bytes:
        """All that the server says to a message, until it ends the connection."""
        with self.connect() as client:
            client.sendall(message)
            return received(client)

    def end(self) -> str:
        """Stop it, and what it has said on stderr."""
        if sys.platform == "win32":  # Ctrl-C reaches a whole group of processes there
            self.process.terminate()
        else:
            self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        self.said += self.process.stderr.read()
        assert self.process.wait(120) == 0 or sys.platform == "win32"
        return self.said.decode()


def received(client: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    parts = []
    try:
        while part := client.recv(1 << 16):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


def head(method: str, path: str, *lines: str, token: bool = True) -> bytes:
    """A request's head, with the token if it is asked for. The server hangs up once it has answered."""
    secret = [f"Authorization: Bearer {read_token()[0]}"] if token else []
    return "".join(
        f"{line}\r\n"
        for line in (f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *secret, *lines, "")
    ).encode()


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[HttpServer]:
    """A server for a folder on a free port of 127.0.0.1."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    serve = [sys.executable, "-c", SERVE, "serve", "--threads", "1", *arguments, "--http"]
    with start_listening(serve, cwd=folder, env=environment) as (process, port, said):
        yield HttpServer(process, port, said)


@contextmanager
def start_listening(command: Sequence[str], **options: Any) -> Iterator[tuple[subprocess.Popen[bytes], int, bytes]]:
    """A server on a free port of 127.0.0.1, which ends its command; the port, and what it has said on stderr."""
    for tries_left in (2, 1, 0):  # another process may take the port first
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        said = b""
        with subprocess.Popen([*command, f"{HOST}:{port}"], stderr=subprocess.PIPE, **options) as process:
            try:
                assert process.stderr is not None
                for line in process.stderr:  # no connection is made to find out: that might be the attack
                    said += line
                    if b"Serving on" in line:
                        yield process, port, said
                        return
                assert tries_left and b"Can't listen" in said, said.decode()
            finally:
                process.kill()

"""TCP: the first client that knows the token is served, until it leaves.

A port is open to all users of a machine, and to each page that a browser shows. So nothing of a connection reaches
pygls before its first message was an `initialize` with the token in `initializationOptions.token`. Nothing is
encrypted.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import secrets
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any

from lsprotocol import types
from pygls.io_ import run_async
from pygls.lsp.server import LanguageServer

from lsp_server.bounded_streams import BoundedReader
from lsp_server.listener import Listener
from lsp_server.serve_errors import ServeError

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "SUBMODEL_TCP_TOKEN"
MIN_TOKEN_CHARS = 16
MAX_WAITING = 128  # connections without a first message, then the oldest is ended; more than a backlog holds
MAX_WAIT_S = 10.0  # for the whole first message
MAX_FIRST_BYTES = 256 << 10  # editors send some 10 KB
# A client that is silent for so many seconds is asked whether it is there: so often, until it counts as gone.
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}  # the second: macOS
_BACKLOG = 100  # connections that asyncio accepts at once, before it reads from any
_MAX_HEADERS = 8
_HEADER = re.compile(rb"Content-(?:Length: (?P<size>\d{1,9})|Type: [^\r\n]*)\r\n")


@dataclass(frozen=True, kw_only=True)
class Client:
    """A connection whose first message had the token."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    initialize: bytes  # this message as it stands in a stream, without the token


def take_token() -> str:
    """Return the token of the environment, and remove it there; else print a new one on stderr, and return it.

    Raises ServeError if the token is so short that it could be guessed.
    """
    token = os.environ.pop(TOKEN_VARIABLE, "")
    if not token:
        token = secrets.token_urlsafe()
        print(f"submodel: Clients must send initializationOptions.token: {token}", file=sys.stderr, flush=True)
    elif len(token) < MIN_TOKEN_CHARS:
        raise ServeError(f"{TOKEN_VARIABLE} has fewer than {MIN_TOKEN_CHARS} characters; give a longer one, or none.")
    return token


async def serve_one_client(server: LanguageServer, addresses: Sequence[str], port: int, token: str) -> None:
    """Serve the first client that sends the token, until it leaves; raises OSError if it can't listen there."""
    entrance = Entrance(token)
    listener = Listener(lambda: asyncio.start_server(entrance.receive, addresses, port, backlog=_BACKLOG))
    await listener.start()
    watching = asyncio.create_task(listener.watch())
    try:
        client = await entrance.client
    finally:
        watching.cancel()
        listener.close()
        entrance.close()
    first = asyncio.StreamReader()
    first.feed_data(client.initialize)
    first.feed_eof()
    _keep_alive(client.writer)
    server.protocol.set_writer(client.writer)
    try:
        for reader in (first, client.reader):
            await run_async(
                stop_event=Event(),
                reader=BoundedReader(reader),
                protocol=server.protocol,
                logger=log,
                error_handler=server.report_server_error,
            )
    finally:
        client.writer.close()


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """End a connection whose other side is gone without a word, as a machine that was switched off."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):  # it has ended already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Entrance:
    """Connections wait here until one of them has sent the token; it becomes `client`."""

    def __init__(self, token: str) -> None:
        self.client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._token = token
        self._waiting: dict[asyncio.StreamWriter, None] = {}  # the oldest first

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection as the client, or end it."""
        self._waiting[writer] = None
        if len(self._waiting) > MAX_WAITING:
            self._end(next(iter(self._waiting)))
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                message = await _read_message(reader)
        except (OSError, EOFError, ValueError, RecursionError):  # a TimeoutError is an OSError
            message = None
        if writer not in self._waiting:
            return
        if message is not None and _take_token(message, self._token) and not self.client.done():
            del self._waiting[writer]
            self.client.set_result(Client(reader=reader, writer=writer, initialize=_framed(message)))
            return
        if message is not None and isinstance(message.get("id"), (int, str)):
            writer.write(_framed(_refusal(message["id"])))
        del self._waiting[writer]
        writer.close()

    def close(self) -> None:
        """End all connections that wait."""
        for writer in [*self._waiting]:
            self._end(writer)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        del self._waiting[writer]
        writer.transport.abort()


async def _read_message(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """Return a connection's first message; None if it is too long, or not of this protocol, as a web page's.

    Raises OSError or EOFError if the connection ends, ValueError or RecursionError for what is no JSON.
    """
    size = 0
    for _ in range(_MAX_HEADERS):
        line = await reader.readline()
        if line == b"\r\n":
            break
        header = _HEADER.fullmatch(line)
        if header is None:
            return None
        size = int(header["size"] or size)
    if not 0 < size <= MAX_FIRST_BYTES:
        return None
    message = json.loads(await reader.readexactly(size))
    return message if isinstance(message, dict) else None


def _take_token(message: dict[str, Any], token: str) -> bool:
    """Take the token out of an `initialize`, and return whether it is the right one."""
    params = message.get("params")
    options = params.get("initializationOptions") if isinstance(params, dict) else None
    if message.get("method") != types.INITIALIZE or not isinstance(options, dict):
        return False
    given = options.pop("token", None)
    return isinstance(given, str) and hmac.compare_digest(_as_bytes(given), _as_bytes(token))


def _as_bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")


def _refusal(number: int | str) -> dict[str, Any]:
    text = (
        "The first request must be `initialize` with this server's token as initializationOptions.token; it stood in "
        f"{TOKEN_VARIABLE} when the server started, or else the server has printed it."
    )
    return {"jsonrpc": "2.0", "id": number, "error": {"code": int(types.LSPErrorCodes.RequestFailed), "message": text}}


def _framed(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body

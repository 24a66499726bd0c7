"""Makes an HTTP server, and starts it. stdout stays empty; the log and the hint about the token go to stderr."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from contract.plain_text import plain
from lsp_server.addresses import find_addresses
from lsp_server.bundle_finder import working_folder
from lsp_server.http.connection import Connection
from lsp_server.http.endpoint import Endpoint
from lsp_server.http.guard import Guard, read_token
from lsp_server.listener import Listener
from lsp_server.options import ServerOptions
from lsp_server.serve_errors import ServeError
from lsp_server.server_log import log_to_stderr

MAX_CONNECTIONS: Final = 128  # a further one ends the oldest that waits for its client
END_WITHIN_S: Final = 2.0  # wait for native code that still runs


def serve_http(
    host: str, port: int, options: ServerOptions, *, is_any_allowed: bool = False, is_open: bool = False
) -> None:
    """Answer at host:port until the process is stopped. `is_open`: without a token.

    Raises ServeError if the address is not free, or other machines reach it and that is not allowed;
    StateFolderError if the token can't be kept.
    """
    log_to_stderr()
    if is_open and is_any_allowed:
        raise ServeError("Other machines may reach the server only with a token; leave out --http-no-token.")
    folder = working_folder()
    try:
        addresses = find_addresses(host, port, is_any_allowed=is_any_allowed, option="--http")
    except OSError as error:
        raise _cant_listen(host, port, error) from error
    token, file = (None, None) if is_open else read_token()
    guard = Guard(token=token, host=host, port=port, is_any_address=is_any_allowed)
    if file is None:
        tell("Every program on this machine can ask, since --http-no-token was given.")
    else:
        tell(f"Clients must send `Authorization: Bearer TOKEN`; the token is in {file}.")
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(addresses, port, guard, Endpoint(options, folder)))


def tell(sentence: str) -> None:
    """Print a sentence for whoever started the server."""
    print(f"submodel: {plain(sentence)}", file=sys.stderr, flush=True)


def _cant_listen(host: str, port: int, error: OSError) -> ServeError:
    return ServeError(f"Can't listen on {host}:{port} ({error.strerror}); give another host or port.")


async def _serve(addresses: Sequence[str], port: int, guard: Guard, endpoint: Endpoint) -> None:
    connections: dict[Connection, asyncio.Task[None] | None] = {}  # the oldest first; who serves it

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(connections) >= MAX_CONNECTIONS:
            oldest = next((one for one in connections if one.is_waiting), next(iter(connections)))
            del connections[oldest]
            oldest.abort()
        connection = Connection(reader, writer, guard, endpoint.answer)
        connections[connection] = asyncio.current_task()
        try:
            await connection.serve()
        finally:
            connections.pop(connection, None)

    listener = Listener(lambda: asyncio.start_server(receive, addresses, port))
    try:
        await listener.start()
    except OSError as error:
        raise _cant_listen(guard.host, port, error) from error
    problem = endpoint.start()
    if problem is not None:
        tell(problem)
    try:
        await listener.watch()  # not serve_forever: since Python 3.12 it waits for clients that are idle
    finally:
        listener.close()
        serving = [task for task in connections.values() if task is not None]
        for connection in connections:
            connection.abort()
        endpoint.close()
        if serving:  # else asyncio.run would cancel them, and Python 3.11 print a trace for each
            await asyncio.wait(serving, timeout=END_WITHIN_S)
        endpoint.service.end_process_if_busy(END_WITHIN_S)

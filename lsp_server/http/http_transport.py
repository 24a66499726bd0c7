"""Listens for HTTP: uvicorn reads and writes the protocol; the application here guards and answers requests."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import sys
from contextlib import suppress
from typing import Any, Final

import uvicorn

from contract.plain_text import plain
from lsp_server.bundle_finder import working_folder
from lsp_server.http.endpoint import Endpoint
from lsp_server.http.guard import Guard, read_token
from lsp_server.http.messages import Refusal, Reply, Request, refusal_reply
from lsp_server.options import ServerOptions
from lsp_server.serve_errors import ServeError
from lsp_server.server_log import log_to_stderr

log = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 16 << 10
MAX_BODY_BYTES: Final = 8 << 20  # a text of 2,000,000 characters and its escapes; plug-ins send some 50 KB
BODY_S: Final = 10.0
IDLE_S: Final = 60  # between two requests of a connection
END_WITHIN_S: Final = 2.0  # wait for native code that still runs


def serve_http(
    host: str, port: int, options: ServerOptions, *, is_any_allowed: bool = False, is_open: bool = False
) -> None:
    """Answer at host:port until the process is stopped. `is_open`: without a token.

    Raises ServeError if the address is not free, or other machines reach it and that is not allowed;
    StateFolderError if the token can't be kept.
    """
    log_to_stderr()
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # the application logs its own errors
    if is_open and is_any_allowed:
        raise ServeError("Other machines may reach the server only with a token; leave out --http-no-token.")
    folder = working_folder()
    sockets = _listen(host, port, is_any_allowed)
    token, file = (None, None) if is_open else read_token()
    guard = Guard(token=token, host=host, port=port, is_any_address=is_any_allowed)
    if file is None:
        tell("Every program on this machine can ask, since --http-no-token was given.")
    else:
        tell(f"Clients must send `Authorization: Bearer TOKEN`; the token is in {file}.")
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(sockets, guard, Endpoint(options, folder)))


def tell(sentence: str) -> None:
    """Print a sentence for whoever started the server."""
    print(f"submodel: {plain(sentence)}", file=sys.stderr, flush=True)


def _listen(host: str, port: int, is_any_allowed: bool) -> list[socket.socket]:
    """Return sockets that listen at each address of a host. Raises ServeError."""
    try:
        found = {info[4][0]: info[0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        outside = [one for one in found if not ipaddress.ip_address(str(one)).is_loopback]
        if outside and not is_any_allowed:
            raise ServeError(
                f"Other machines may reach {host} ({outside[0]}), and --http sends the text of files unencrypted; give "
                "127.0.0.1, or add --http-any-address."
            )
        return [socket.create_server((str(address), port), family=family) for address, family in found.items()]
    except OSError as error:
        raise ServeError(f"Can't listen on {host}:{port} ({error.strerror}); give another host or port.") from error


async def _serve(sockets: list[socket.socket], guard: Guard, endpoint: Endpoint) -> None:
    problem = endpoint.start()
    if problem is not None:
        tell(problem)
    log.info("Serving on %s", [one.getsockname() for one in sockets])
    try:
        await http_server(Application(guard, endpoint)).serve(sockets)
    finally:
        endpoint.close()
        endpoint.service.end_process_if_busy(END_WITHIN_S)


def http_server(application: Application) -> uvicorn.Server:
    """Return a server with our limits. It ends without waiting for its clients."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=0,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
    )


class Application:
    """The ASGI application: checks a request, reads its body within limits, and answers it unless the client leaves."""

    def __init__(self, guard: Guard, endpoint: Endpoint) -> None:
        self._guard, self._endpoint = guard, endpoint

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, as ASGI asks for it."""
        try:
            reply = await self._reply(scope, receive)
        except Refusal as refusal:
            how = (("WWW-Authenticate", "Bearer"),) if refusal.status == 401 else ()
            reply = refusal_reply(refusal.status, str(refusal), how)
        except Exception:  # a defect of ours: the others are served on
            log.exception("A request was not answered")
            reply = refusal_reply(500, "The request could not be answered; the server's log says why.")
        if reply is None:
            return
        length = ("Content-Length", str(len(reply.body)))
        headers = (("Content-Type", reply.kind), length, ("Cache-Control", "no-store"), *reply.headers)
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
        await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, scope: Any, receive: Any) -> Reply | None:
        """Return the answer; None if the client hangs up before that, which stops the model. Raises Refusal."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._guard.check(scope["path"], headers)
        if int(headers.get("content-length", "0")) > MAX_BODY_BYTES:
            raise _too_long()
        try:
            async with asyncio.timeout(BODY_S):
                body = await _read_body(receive)
        except TimeoutError:
            raise Refusal(408, f"The request's body took more than {BODY_S:.0f} seconds.") from None
        if body is None:
            return None
        request = Request(method=scope["method"], path=scope["path"], headers=headers, body=body)
        answering = asyncio.ensure_future(self._endpoint.answer(request))
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            return answering.result() if answering.done() else None
        finally:
            answering.cancel()
            leaving.cancel()


async def _read_body(receive: Any) -> bytes | None:
    """Return a request's body; None if the client hangs up. Raises Refusal if it is too long."""
    body, is_whole = bytearray(), False
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if len(body) > MAX_BODY_BYTES:
            raise _too_long()
        is_whole = not message["more_body"]
    return bytes(body)


def _too_long() -> Refusal:
    return Refusal(413, f"The body has more than {MAX_BODY_BYTES >> 20} MB; send less text.")

"""One connection: reads requests within limits of size and time, and answers them in order until the client leaves.

h11 reads and writes HTTP/1.1. It was chosen over uvicorn with Starlette (350 ms more until the server is up, 6 MB) and
aiohttp (600 ms, 14 MB); it has 0.3 MB and no dependencies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import h11

from lsp_server.http.guard import Guard
from lsp_server.http.messages import Refusal, Reply, refusal_reply

log = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 16 << 10
MAX_BODY_BYTES: Final = 8 << 20  # a text of 2,000,000 characters and its escapes; plug-ins send some 50 KB
HEAD_S: Final = 10.0  # from a head's first byte to its last
BODY_S: Final = 10.0
WRITE_S: Final = 10.0  # for a client to take an answer
IDLE_S: Final = 60.0  # between two requests
LINGER_S: Final = 2.0  # a refused client may still be sending; it would not read the answer if the connection broke
_CHUNK_BYTES: Final = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that may be answered."""

    method: str
    path: str  # without a query
    headers: dict[str, str]  # by their names in lower case
    body: bytes


Answer = Callable[[Request], Awaitable[Reply]]


class _AnswerError(Exception):
    """Answering raised an OSError, of a file say. One of the connection means that the client is gone."""


class Connection:
    """A client's connection. `is_waiting`: no request of it is being answered."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, guard: Guard, answer: Answer
    ) -> None:
        self.is_waiting = True
        self._reader, self._writer = reader, writer
        self._guard, self._answer = guard, answer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    def abort(self) -> None:
        """End it at once."""
        self._writer.transport.abort()

    async def serve(self) -> None:
        """Answer requests until the client leaves, is silent for too long, or breaks a rule."""
        try:
            while await self._serve_one():
                self._http.start_next_cycle()
        except (OSError, h11.LocalProtocolError):  # gone, too slow to take the answer, or in a state without answers
            pass
        finally:
            self._writer.close()

    async def _serve_one(self) -> bool:
        """Answer one request; return whether another may follow."""
        try:
            head = await self._read_head()
            if head is None:
                return False
            request = await self._read_request(head)
            self.is_waiting = False
            reply = await self._answer_or_leave(request)
        except Refusal as refusal:
            headers = (("WWW-Authenticate", "Bearer"),) if refusal.status == 401 else ()
            await self._refuse(refusal_reply(refusal.status, str(refusal), headers))
            return False
        except h11.RemoteProtocolError as error:
            is_long = error.error_status_hint == 431
            sentence = (
                f"The request's head has more than {MAX_HEAD_BYTES} bytes." if is_long else "This is no HTTP/1.1."
            )
            await self._refuse(refusal_reply(error.error_status_hint, sentence))
            return False
        except Exception as error:  # a defect of ours: the others are served on
            if isinstance(error, (OSError, h11.LocalProtocolError)):  # of the connection
                raise
            log.exception("A request was not answered")
            await self._refuse(refusal_reply(500, "The request could not be answered; the server's log says why."))
            return False
        finally:
            self.is_waiting = True
        if reply is None:
            return False
        await self._send(reply)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _read_head(self) -> h11.Request | None:
        """Return the next request's head; None if the client leaves or is silent. Raises Refusal if it is too slow."""
        has_begun = self._http.trailing_data[0] != b""
        try:
            async with asyncio.timeout(HEAD_S if has_begun else IDLE_S) as limit:
                while (event := self._http.next_event()) is h11.NEED_DATA:
                    data = await self._reader.read(MAX_HEAD_BYTES)
                    if data and not has_begun:
                        has_begun = True
                        limit.reschedule(asyncio.get_running_loop().time() + HEAD_S)
                    self._http.receive_data(data)
        except TimeoutError:
            if not has_begun:
                return None
            raise Refusal(408, f"The request's head took more than {HEAD_S:.0f} seconds.") from None
        return event if isinstance(event, h11.Request) else None

    async def _read_request(self, head: h11.Request) -> Request:
        """Return the request with its body, which is read only if the head is right. Raises Refusal."""
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        method, path = head.method.decode("ascii"), head.target.decode("latin-1").partition("?")[0]
        self._guard.check(path, headers)
        if "content-length" in headers and "transfer-encoding" in headers:
            raise Refusal(400, "Send Content-Length or Transfer-Encoding, not both.")
        if int(headers.get("content-length", "0")) > MAX_BODY_BYTES:
            raise Refusal(413, f"The body has more than {MAX_BODY_BYTES >> 20} MB; send less text.")
        try:
            async with asyncio.timeout(BODY_S):
                body = await self._read_body()
        except TimeoutError:
            raise Refusal(408, f"The request's body took more than {BODY_S:.0f} seconds.") from None
        return Request(method=method, path=path, headers=headers, body=body)

    async def _read_body(self) -> bytes:
        body = bytearray()
        while not isinstance(event := self._http.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY_BYTES:
                    raise Refusal(413, f"The body has more than {MAX_BODY_BYTES >> 20} MB; send less text.")
            else:
                if self._http.they_are_waiting_for_100_continue:
                    await self._write(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(_CHUNK_BYTES))
        return bytes(body)

    async def _answer_or_leave(self, request: Request) -> Reply | None:
        """Return the answer; None if the client hangs up before that, which stops the model. Raises _AnswerError."""
        answering = asyncio.ensure_future(self._answer(request))
        watching = asyncio.ensure_future(self._reader.read(_CHUNK_BYTES))
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                try:
                    data = watching.result()  # b"": it hung up; else the next request, sent ahead
                except OSError:
                    return None
                self._http.receive_data(data)
                if not data and not answering.done():
                    return None
            try:
                return await answering
            except OSError as error:
                raise _AnswerError from error
        finally:
            answering.cancel()
            watching.cancel()
            await asyncio.wait((answering, watching))  # nobody else may read before that
            for one in (answering, watching):
                if not one.cancelled():
                    one.exception()  # taken, so that asyncio does not log it as lost

    async def _send(self, reply: Reply, *, is_last: bool = False) -> None:
        headers = [
            ("Content-Type", reply.kind),
            ("Content-Length", str(len(reply.body))),
            ("Cache-Control", "no-store"),
            *reply.headers,
            *([("Connection", "close")] if is_last else []),
        ]
        await self._write(
            h11.Response(status_code=reply.status, headers=headers), h11.Data(data=reply.body), h11.EndOfMessage()
        )

    async def _write(self, *events: Any) -> None:
        for event in events:
            self._writer.write(self._http.send(event) or b"")
        async with asyncio.timeout(WRITE_S):
            await self._writer.drain()

    async def _refuse(self, reply: Reply) -> None:
        """Send the refusal, and end the connection; what the client still sends is thrown away."""
        await self._send(reply, is_last=True)
        with suppress(OSError):
            self._writer.write_eof()
            async with asyncio.timeout(LINGER_S):
                while await self._reader.read(_CHUNK_BYTES):
                    pass

"""Reads messages: from streams with limits, and with a protocol that survives clients' errors.

pygls reads whatever length a header names. It leaves a request whose parameters it can't read without an answer. It
fails on a change of a document that was never opened.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Generator, Iterator
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote

from cattrs import Converter
from lsprotocol import converters, types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidRequest
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, JsonRPCResponseMessage, LanguageServerProtocol
from pygls.protocol.language_server import lsp_method

from lsp_server.open_documents import OpenDocuments

T = TypeVar("T")
log = logging.getLogger(__name__)

# A document of 50 MB, the most that VS Code sends, and escapes; longer messages are thrown away.
MAX_MESSAGE_BYTES = 64 << 20
MAX_BARE_BYTES = 1 << 20  # of a message's JSON outside of strings: some 29,000 edits; parsing takes 0.3 s at most
MAX_HEADER_BYTES = 8 << 10
MAX_NAME_CHARS = 4096  # of a URI or a language id; Linux opens no longer path
NO_MESSAGE = b"{}"  # JSON that is no message: pygls refuses it and goes on
LOST_CHANGE = "submodel/lostChange"  # the method that stands in for a change of a document that is passed over
_CHUNK_BYTES = 1 << 20


class TolerantProtocol(LanguageServerProtocol):
    """pygls' protocol, but it answers each request, ignores changes of unknown documents, and drops ended futures."""

    is_cut_off = False  # by a client's `exit` without a `shutdown`

    def structure_message(self, data: dict[str, Any]) -> Any:
        """Return a message from its JSON. One that can't be read is refused by its id, if it has one."""
        try:
            _check(data)
            return super().structure_message(data)
        except JsonRpcException as error:
            number = data.get("id")
            if "method" in data and isinstance(number, (int, str)):
                self._send_response(number, error=error.to_response_error())
            if data.get("method") == types.TEXT_DOCUMENT_DID_CHANGE:
                self._documents().drop(_uri_of(data))
            raise

    def _execute_handler(
        self,
        msg_id: int | str,
        handler: Callable[..., Any],
        callback: Callable[[Any], None],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Run a handler, and forget its future once it is done: pygls 2.1 keeps those of notifications for ever."""

        def forget(future: Any) -> None:
            if not future.cancelled():  # pygls itself forgets one that a client cancels; shutdown iterates over them
                self._request_futures.pop(msg_id, None)
            callback(future)

        super()._execute_handler(msg_id, handler, forget, args, kwargs)

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> Generator[Any, Any, None]:
        """Cancel what has not ended, then shut down. pygls fails if a request's entry goes while it iterates."""
        for number, future in list(self._request_futures.items()):
            if number != self.msg_id:
                future.cancel()
        yield from super().lsp_shutdown(*args)

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> Generator[Any, Any, None]:
        """End the server, and note whether the client has asked for that before, as the protocol demands."""
        self.is_cut_off = not self._shutdown
        yield from super().lsp_exit(*args)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Generator[Any, Any, None]:
        """Change a document that is open."""
        if unquote(params.text_document.uri) in self.workspace.text_documents:
            yield from super().lsp_text_document__did_change(params)

    def _documents(self) -> OpenDocuments:
        return OpenDocuments({} if self._workspace is None else self.workspace.text_documents)


def _check(data: dict[str, Any]) -> None:
    """Raise JsonRpcInvalidRequest unless a message is as pygls takes for granted, and its names are short.

    pygls keeps notebooks and their cells without a bound. The server announces none, so no client need send any.
    """
    if "jsonrpc" not in data:
        return
    number, method, error = data.get("id"), data.get("method", ""), data.get("error")
    is_right = number is None or (isinstance(number, (int, str)) and not isinstance(number, bool))
    is_right = is_right and isinstance(method, str) and (method != "" or "method" not in data)
    if isinstance(error, dict):
        is_right = is_right and isinstance(error.get("code"), int) and isinstance(error.get("message"), str)
    if not is_right or method.startswith("notebookDocument/") or any(len(one) > MAX_NAME_CHARS for one in _names(data)):
        raise JsonRpcInvalidRequest()


def _names(data: dict[str, Any]) -> Iterator[str]:
    """Yield the URIs and the language id of a message: of its document and of the workspace's folders."""
    params = data.get("params")
    params = params if isinstance(params, dict) else {}
    event = params.get("event")
    added = event.get("added") if isinstance(event, dict) else None
    root = {"uri": params.get("rootUri"), "name": params.get("rootPath")}
    places = [root, params.get("textDocument"), params.get("workspaceFolders"), added]
    for place in places:
        for one in place if isinstance(place, list) else [place]:
            if isinstance(one, dict):
                yield from (one[key] for key in ("uri", "languageId", "name") if isinstance(one.get(key), str))


def _bounded(body: bytes) -> bytes:
    """Return a message's body, or what stands in for it if it can't be read.

    That is so if it is not UTF-8: Neovim sends a paste in parts, and a part may end inside a character
    (neovim/neovim#29898). It is also so if it holds so many values that the event loop would stand still.
    """
    try:
        body.decode(json.detect_encoding(body), "surrogatepass")  # as json.loads does
    except UnicodeDecodeError:
        log.warning("A message of %d bytes is passed over; it is not UTF-8.", len(body))
        return _instead_of(body, is_whole=True)
    if len(body) <= MAX_BARE_BYTES:
        return body
    # The server speaks UTF-8 alone; in another encoding a quotation mark may be half of a letter.
    if json.detect_encoding(body).startswith("utf-8") and _bare_bytes(body) <= MAX_BARE_BYTES:
        return body
    log.warning("A message of %d bytes is passed over; it holds too many values, or is not UTF-8.", len(body))
    return _instead_of(body, is_whole=True)


def _instead_of(body: bytes, *, is_whole: bool) -> bytes:
    """Return what stands in for a message that is passed over: of a change, the news that it is lost.

    The text that the server has is another one from then on. Where `body` is the beginning alone, and does not say what
    message it is, it counts as a change.
    """
    found = re.search(rb'"method"\s*:\s*"([^"]*)"', body)
    method = found[1].replace(b"\\", b"") if found else b""
    if method != types.TEXT_DOCUMENT_DID_CHANGE.encode() and (is_whole or method):
        return NO_MESSAGE
    uri = re.search(rb'"uri"\s*:\s*("[\x20\x21\x23-\x5b\x5d-\x7e]{1,4096}")', body)
    params = b'{"uri":%s}' % (uri[1] if uri else b"null")
    return b'{"jsonrpc":"2.0","method":"%s","params":%s}' % (LOST_CHANGE.encode(), params)


def _uri_of(data: dict[str, Any]) -> str | None:
    """Return the document that a message names, None if it names none."""
    params = data.get("params")
    document = params.get("textDocument") if isinstance(params, dict) else None
    uri = document.get("uri") if isinstance(document, dict) else None
    return uri if isinstance(uri, str) else None


def _bare_bytes(body: bytes) -> int:
    """Count the bytes of JSON outside of strings; the count is exact up to MAX_BARE_BYTES."""
    parts = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"', 2 * MAX_BARE_BYTES)
    return sum(map(len, parts[::2]))


class BoundedInput:
    """A binary stream whose lines and reads have a limit; what is longer is read and thrown away."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readline(self) -> bytes:
        """Return a header line. A longer one is thrown away; what is returned for it is no header."""
        line = self._stream.readline(MAX_HEADER_BYTES)
        is_long = len(line) == MAX_HEADER_BYTES and not line.endswith(b"\n")
        while is_long and (rest := self._stream.readline(MAX_HEADER_BYTES)):
            if rest.endswith(b"\n"):
                return b"?\r\n"
        return line

    def read(self, size: int) -> bytes:
        """A message's body."""
        if size <= MAX_MESSAGE_BYTES:
            return _bounded(self._stream.read(size))
        log.warning("A message of %d bytes is passed over; the most is %d.", size, MAX_MESSAGE_BYTES)
        head = b""
        while size > 0 and (chunk := self._stream.read(min(size, _CHUNK_BYTES))):
            head = head or chunk
            size -= len(chunk)
        return b"" if size > 0 else _instead_of(head, is_whole=False)


class BoundedReader:
    """As BoundedInput, for asyncio's reader. A client that vanishes ends the stream; it is no error."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readline(self) -> bytes:
        """Return a header line, b"" at the end. The last message's handler has run up to its first wait by then.

        So a request sees the text as it was, even if a change follows it in the same segment.
        """
        # The reader doesn't yield while it has bytes, and a handler begins in the loop's next turn.
        await asyncio.sleep(0)
        try:
            return await self._reader.readline()
        except ValueError:  # longer than asyncio's own limit, which has dropped it
            return b"?\r\n"
        except OSError:  # a ConnectionError, or a TimeoutError of a client that no longer answers
            return b""

    async def readexactly(self, size: int) -> bytes:
        """Return a message's body, b"" if the stream ends inside it."""
        try:
            if size <= MAX_MESSAGE_BYTES:
                return _bounded(await self._reader.readexactly(size))
            log.warning("A message of %d bytes is passed over; the most is %d.", size, MAX_MESSAGE_BYTES)
            head = b""
            while size > 0:
                chunk = await self._reader.readexactly(min(size, _CHUNK_BYTES))
                head = head or chunk
                size -= len(chunk)
            return _instead_of(head, is_whole=False)
        except (asyncio.IncompleteReadError, OSError):
            return b""


class _TriggerKinds:
    """Reads triggerKind from clients that count it from 1, as the protocol does, and from 0, as VS Code's API does.

    A client that has once sent 0 counts from there: its 1 is what the protocol calls 2.
    """

    def __init__(self) -> None:
        self._counts_from_0 = False

    def read(self, value: object, _: type) -> types.InlineCompletionTriggerKind:
        self._counts_from_0 |= value == 0
        if value == 2 or (value == 1 and self._counts_from_0):
            return types.InlineCompletionTriggerKind.Automatic
        return types.InlineCompletionTriggerKind.Invoked


def lenient_converter() -> Converter:
    """Return pygls' converter, changed for triggerKind and for methods of our own. It stops at the first fault.

    pygls' own collects all faults: a hundred thousand letters in the place of a list keep it busy for three seconds. It
    also makes a class for each object within a message that the protocol doesn't know: a megabyte of `{},` keeps it
    busy for 25 seconds and takes 2 GB. Here such objects stay dictionaries.
    """
    converter: Converter = converters.get_converter(Converter(detailed_validation=False))
    for message in (JsonRPCRequestMessage, JsonRPCResponseMessage, JsonRPCNotification):
        converter.register_structure_hook(message, _as_it_is)
    converter.register_structure_hook(types.InlineCompletionTriggerKind, _TriggerKinds().read)
    return converter


def _as_it_is(message: dict[str, Any], kind: type[T]) -> T:
    if kind is not JsonRPCResponseMessage:
        message = {"params": None, **message}  # JSON-RPC lets them be left out
    return kind(**message)

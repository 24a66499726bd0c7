"""Streams whose messages have limits: pygls reads whatever length a header names.

A message that is too long, or that can't be read, is passed over.
"""

from __future__ import annotations

import json
import logging
import re
from typing import BinaryIO

from lsprotocol import types

log = logging.getLogger(__name__)

# A document of 50 MB, the most that VS Code sends, and escapes; longer messages are thrown away.
MAX_MESSAGE_BYTES = 64 << 20
MAX_BARE_BYTES = 1 << 20  # of a message's JSON outside of strings: some 29,000 edits; parsing takes 0.3 s at most
MAX_HEADER_BYTES = 8 << 10
NO_MESSAGE = b"{}"  # JSON that is no message: pygls refuses it and goes on
LOST_CHANGE = "submodel/lostChange"  # the method that stands in for a change of a document that is passed over
_CHUNK_BYTES = 1 << 20


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


def _bare_bytes(body: bytes) -> int:
    """Count the bytes of JSON outside of strings; the count is exact up to MAX_BARE_BYTES."""
    parts = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"', 2 * MAX_BARE_BYTES)
    return sum(map(len, parts[::2]))

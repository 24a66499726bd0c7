"""A stream whose messages have a limit: pygls reads whatever length a header names."""

from __future__ import annotations

import json
import logging
import re
from typing import BinaryIO

from lsprotocol import types

log = logging.getLogger(__name__)

# A document of 50 MB, the most that VS Code sends, and escapes; longer messages are thrown away.
MAX_MESSAGE_BYTES = 64 << 20
NO_MESSAGE = b"{}"  # JSON that is no message: pygls refuses it and goes on
LOST_CHANGE = "submodel/lostChange"  # the method that stands in for a change of a document that is passed over
_CHUNK_BYTES = 1 << 20


class BoundedInput:
    """A binary stream of which pygls reads messages."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readline(self) -> bytes:
        """Return a header line."""
        return self._stream.readline()

    def read(self, size: int) -> bytes:
        """Return a message's body, or what stands in for it.

        Neovim sends a paste in parts, and a part may end inside a character (neovim/neovim#29898).
        """
        if size > MAX_MESSAGE_BYTES:
            log.warning("A message of %d bytes is passed over; the most is %d.", size, MAX_MESSAGE_BYTES)
            head = b""
            while size > 0 and (chunk := self._stream.read(min(size, _CHUNK_BYTES))):
                head = head or chunk
                size -= len(chunk)
            return b"" if size > 0 else _instead_of(head, is_whole=False)
        body = self._stream.read(size)
        try:
            body.decode(json.detect_encoding(body), "surrogatepass")  # as json.loads does
        except UnicodeDecodeError:
            log.warning("A message of %d bytes is passed over; it is not UTF-8.", len(body))
            return _instead_of(body, is_whole=True)
        return body


def _instead_of(body: bytes, *, is_whole: bool) -> bytes:
    """Return what stands in for a message that is passed over: of a change, the news that it is lost."""
    found = re.search(rb'"method"\s*:\s*"([^"]*)"', body)
    method = found[1].replace(b"\\", b"") if found else b""
    if method != types.TEXT_DOCUMENT_DID_CHANGE.encode() and (is_whole or method):
        return NO_MESSAGE
    uri = re.search(rb'"uri"\s*:\s*("[\x20\x21\x23-\x5b\x5d-\x7e]{1,4096}")', body)
    params = b'{"uri":%s}' % (uri[1] if uri else b"null")
    return b'{"jsonrpc":"2.0","method":"%s","params":%s}' % (LOST_CHANGE.encode(), params)

"""An open document: the text as the client last described it."""

from __future__ import annotations

from lsprotocol import types
from pygls.workspace import PositionCodec, TextDocument

from lsp_server.positions import Encoding, clamped_offset_at


class Document(TextDocument):
    """pygls' document with the protocol's own line ends and clamping.

    pygls 2.1 splits lines with `str.splitlines`, so that one form feed in a file shifts every later edit, and clamps
    a character past the end of the last line to the one before it.
    """

    def __init__(self, item: types.TextDocumentItem, encoding: Encoding) -> None:
        super().__init__(
            uri=item.uri,
            source=item.text,
            version=item.version,
            language_id=item.language_id,
            position_codec=PositionCodec(types.PositionEncodingKind(encoding.value)),
        )
        self._encoding = encoding

    def apply_change(self, change: types.TextDocumentContentChangeEvent) -> None:
        """Replace the range, or the whole text where the change has none."""
        if isinstance(change, types.TextDocumentContentChangePartial):
            text, start, end = self.source, change.range.start, change.range.end
            first = clamped_offset_at(text, start.line, start.character, self._encoding)
            last = clamped_offset_at(text, end.line, end.character, self._encoding)
            self._source = text[:first] + change.text + text[max(first, last) :]
        else:
            self._source = change.text

    def offset_at_position(self, client_position: types.Position) -> int:
        """The offset into `source` of a client's position, clamped to the document."""
        return clamped_offset_at(self.source, client_position.line, client_position.character, self._encoding)

"""An open document: the text as the client last described it."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types
from pygls.workspace import PositionCodec, TextDocument

from lsp_server.positions import Encoding, clamped_offset_at


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change: from `start`, `removed` characters gave way to `inserted`."""

    start: int
    removed: int
    inserted: str


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
        self._edits: list[Edit] = []

    def apply_change(self, change: types.TextDocumentContentChangeEvent) -> None:
        """Replace the range, or the whole text where the change has none."""
        if isinstance(change, types.TextDocumentContentChangePartial):
            text, start, end = self.source, change.range.start, change.range.end
            first = clamped_offset_at(text, start.line, start.character, self._encoding)
            last = clamped_offset_at(text, end.line, end.character, self._encoding)
            last = max(first, last)
            self._source = text[:first] + change.text + text[last:]
            self._edits.append(Edit(start=first, removed=last - first, inserted=change.text))
        else:
            self._edits.append(Edit(start=0, removed=len(self.source), inserted=change.text))
            self._source = change.text

    def take_edits(self) -> list[Edit]:
        """The changes since the last call, oldest first."""
        edits, self._edits = self._edits, []
        return edits

    def offset_at_position(self, client_position: types.Position) -> int:
        """The offset into `source` of a client's position, clamped to the document."""
        return clamped_offset_at(self.source, client_position.line, client_position.character, self._encoding)

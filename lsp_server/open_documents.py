"""Open documents: their texts as the client last described them, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from lsprotocol import types
from pygls.workspace import PositionCodec, TextDocument

from lsp_server.positions import Encoding, LineStarts, clamp

MAX_DOCUMENT_CHARS = 2_000_000  # some 50,000 lines
MAX_COPIED_CHARS = 10_000_000_000  # by the edits of a message, each of which copies the text: some seconds at most


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change: `inserted` replaces the `removed` characters from `start` on."""

    start: int
    removed: int
    inserted: str


class Document(TextDocument):
    """pygls' document with the protocol's own line ends and clamping."""

    def __init__(self, item: types.TextDocumentItem, encoding: Encoding, *, has_one_line_end: bool = False) -> None:
        super().__init__(
            uri=item.uri,
            source=item.text if len(item.text) <= MAX_DOCUMENT_CHARS else "",
            version=item.version,
            language_id=item.language_id,
            position_codec=PositionCodec(types.PositionEncodingKind(encoding.value)),
        )
        self._encoding = encoding
        self._has_one_line_end = has_one_line_end
        self._lines = self._new_lines()
        self._edits: list[Edit] = []
        self._copied = 0  # characters, by the edits of this message
        self.is_too_long = len(item.text) > MAX_DOCUMENT_CHARS
        self.is_kept = not self.is_too_long

    def drop(self) -> None:
        """Drop the text."""
        self._source, self._edits, self.is_kept = "", [], False
        self._lines = self._new_lines()

    def apply_change(self, change: types.TextDocumentContentChangeEvent) -> None:
        """Replace the range, or the whole text if the change has no range."""
        if isinstance(change, types.TextDocumentContentChangePartial):
            if not self.is_kept:
                return
            text = self.source
            self._copied += len(text)
            if self._copied > MAX_COPIED_CHARS:
                self.drop()
                return
            first = self.offset_at_position(change.range.start)
            last = max(first, self.offset_at_position(change.range.end))
            self._source = text[:first] + change.text + text[last:]
            self._lines.note_edit(first)
            self._edits.append(Edit(start=first, removed=last - first, inserted=change.text))
        else:
            self._edits.append(Edit(start=0, removed=len(self.source), inserted=change.text))
            self._source, self.is_kept, self.is_too_long = change.text, True, False
            self._lines = self._new_lines()
        if len(self.source) > MAX_DOCUMENT_CHARS:
            self.is_too_long = True
            self.drop()

    def take_edits(self) -> list[Edit]:
        """Return the changes since the last call, oldest first."""
        edits, self._edits, self._copied = self._edits, [], 0
        return edits

    def offset_at_position(self, client_position: types.Position) -> int:
        """Return the offset into `source` of a client's position, clamped to the document."""
        return self.clamp(client_position)[0]

    def clamp(self, position: types.Position) -> tuple[int, types.Position]:
        """Return a client's position clamped to the document: as an offset into `source`, and as a position."""
        offset, *within = clamp(self.source, position.line, position.character, self._encoding, self._lines)
        return offset, types.Position(*within)

    def _new_lines(self) -> LineStarts:
        return LineStarts.of_one_line_end(self.source) if self._has_one_line_end else LineStarts()


class OpenDocuments:
    """A client's documents. They stand in pygls' dictionary of the workspace."""

    def __init__(self, documents: dict[str, TextDocument]) -> None:
        self._documents = documents

    def get(self, uri: str) -> Document | None:
        """Return an open document, None if no document of that name is open."""
        document = self._documents.get(unquote(uri))
        return document if isinstance(document, Document) else None

    def __iter__(self) -> Iterator[Document]:
        return (one for one in list(self._documents.values()) if isinstance(one, Document))

    def put(self, document: Document) -> None:
        """Add a document, in the place of an older one of its name."""
        self._documents[unquote(document.uri)] = document

    def drop(self, uri: str | None) -> None:
        """Drop the text of an open document, or of all for None: a change of it is lost."""
        for document in self._documents.values() if uri is None else (self.get(uri),):
            if isinstance(document, Document):
                document.drop()

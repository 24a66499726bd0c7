"""The last places that the user has edited or looked at."""

from __future__ import annotations

from collections import OrderedDict

from lsp_server.context.chunks import Chunk, chunk_around

KEPT = 16


class RecentChunks:
    """A ring of chunks, one a place; the newest is last."""

    def __init__(self) -> None:
        self._chunks: OrderedDict[tuple[str, int], Chunk] = OrderedDict()

    def note(self, path: str, text: str, offset: int) -> None:
        """The user is at a place in a file; earlier chunks that overlap with the new one are dropped."""
        chunk = chunk_around(path, text, offset)
        if not chunk.text.strip():
            return
        end = chunk.line + chunk.text.count("\n")
        for key, old in list(self._chunks.items()):
            if key[0] == path and old.line <= end and chunk.line <= old.line + old.text.count("\n"):
                del self._chunks[key]
        self._chunks[(path, chunk.line)] = chunk
        if len(self._chunks) > KEPT:
            self._chunks.popitem(last=False)

    def newest(self, *, but: str) -> list[Chunk]:
        """Newest first, without those of the file `but`, which the prompt holds anyway."""
        return [chunk for chunk in reversed(self._chunks.values()) if chunk.path != but]

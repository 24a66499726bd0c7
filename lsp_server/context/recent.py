"""The last places that the user has edited or looked at."""

from __future__ import annotations

from collections import OrderedDict

from contract.repository.secrets import KEY_BLOCK_LINES, blank_secrets
from lsp_server.context.chunks import Chunk, chunk_around

KEPT = 16


class RecentChunks:
    """A ring of chunks, one a place; the newest is last."""

    def __init__(self) -> None:
        self._chunks: OrderedDict[tuple[str, int], Chunk] = OrderedDict()

    def note(self, path: str, text: str, offset: int) -> None:
        """The user is at a place in a file; earlier chunks that overlap with the new one are dropped."""
        chunk = _without_secrets(chunk_around(path, text, offset), text)
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


def _without_secrets(chunk: Chunk, text: str) -> Chunk:
    """What is shown of other files is shown to a model, and might come back in a completion."""
    lines = text.split("\n")
    first = max(0, chunk.line - KEY_BLOCK_LINES)  # a private key may have begun above whose end is in the chunk
    end = chunk.line + chunk.text.count("\n") + 1
    clean = blank_secrets("\n".join(lines[first:end])).split("\n")[chunk.line - first :]
    return Chunk(path=chunk.path, line=chunk.line, text="\n".join(clean))

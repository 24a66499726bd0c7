"""The repository's files as the builder reads them, secrets removed, in chunks that can be asked for similar ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from contract.errors import CorpusError
from contract.files.home import holds_home
from lsp_server.context.chunks import Chunk, similarity, split_chunks

MIN_SIMILARITY = 0.15  # below it the shared names are those that all code shares
_MAX_CHUNKS = 20_000
# Beyond these a workspace is not read, which nobody has asked for; the largest repositories have some 100,000 files.
MAX_ENTRIES, MAX_SECONDS = 200_000, 120.0


@dataclass(frozen=True, kw_only=True)
class RepositoryIndex:
    """All texts by path. Building the chunks takes a second for ten megabytes; asking for one, some milliseconds."""

    texts: Mapping[str, str]

    @cached_property
    def _chunks(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        for path, text in self.texts.items():
            chunks += split_chunks(path, text)
            if len(chunks) >= _MAX_CHUNKS:
                break
        return chunks

    def prepare(self) -> None:
        """Compute now what the first question would compute."""
        for chunk in self._chunks:
            chunk.identifiers  # noqa: B018

    def similar(self, identifiers: frozenset[str], *, but: str, count: int = 3) -> list[Chunk]:
        """Up to `count` chunks of other files that share most names, the most similar first."""
        scored = [(similarity(identifiers, chunk.identifiers), chunk) for chunk in self._chunks if chunk.path != but]
        best = sorted((pair for pair in scored if pair[0] >= MIN_SIMILARITY), key=lambda pair: -pair[0])
        return [chunk for _, chunk in best[:count]]


def read_index(root: Path) -> RepositoryIndex:
    """Read a repository.

    Raises CorpusError where it can't be read, holds the home folder, has too many files or takes too long.
    """
    if holds_home(root):
        raise CorpusError(f"{root} is the home folder or holds it, so it is not read as a repository; open one in it.")
    # Here and not above: it loads numpy, which answering `initialize` need not wait for.
    from contract.repository.texts import ReadingSettings, read_texts

    settings = ReadingSettings(max_entries=MAX_ENTRIES, max_seconds=MAX_SECONDS)
    index = RepositoryIndex(texts={path: text for path, (_, text) in read_texts(root, settings).items()})
    index.prepare()
    return index

"""What of other files goes into a prompt: pieces from each source that is switched on, within a budget.

They come in the order of their files and lines, and stay the same while the cursor stays near, so that the KV cache
survives typing: a prompt is computed anew from its first change on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contract.prompt import ContextSnippet
from lsp_server.context.chunks import Chunk, chunk_around
from lsp_server.context.imports import imported_definitions
from lsp_server.context.recent import RecentChunks
from lsp_server.context.repository_index import RepositoryIndex
from lsp_server.options import ContextOptions

NEAR_LINES = 10  # how far the cursor may move before pieces are chosen anew
_MAX_RECENT = 3


@dataclass(frozen=True, kw_only=True)
class _Choice:
    line: int
    options: ContextOptions
    has_index: bool
    snippets: tuple[ContextSnippet, ...]


class ContextFinder:
    """One client's. `index` is None until it has been read."""

    def __init__(self) -> None:
        self.recent = RecentChunks()
        self.index: RepositoryIndex | None = None
        self._choices: dict[str, _Choice] = {}

    def find(self, path: str, text: str, offset: int, options: ContextOptions) -> tuple[ContextSnippet, ...]:
        """Pieces for a place in a file; () where no source is on or none has anything."""
        if not (options.recent or options.imports or options.similar):
            return ()
        line = text.count("\n", 0, offset)
        known = self._choices.get(path)
        if (
            known is not None
            and abs(known.line - line) <= NEAR_LINES
            and known.options == options
            and known.has_index == (self.index is not None)
        ):
            return known.snippets
        snippets = self._choose(path, text, offset, options)
        choice = _Choice(line=line, options=options, has_index=self.index is not None, snippets=snippets)
        self._choices = {path: choice}  # of one file: in another the cache is lost anyway
        return snippets

    def _choose(self, path: str, text: str, offset: int, options: ContextOptions) -> tuple[ContextSnippet, ...]:
        left = options.max_characters
        chosen: dict[tuple[str, int], tuple[Chunk, str]] = {}
        for source, chunk in self._candidates(path, text, offset, options):
            key = (chunk.path, chunk.line)
            if key in chosen or len(chunk.text) > left:
                continue
            chosen[key] = (chunk, source)
            left -= len(chunk.text)
        ordered = [chosen[key] for key in sorted(chosen)]
        return tuple(ContextSnippet(path=chunk.path, text=chunk.text, source=source) for chunk, source in ordered)

    def _candidates(self, path: str, text: str, offset: int, options: ContextOptions) -> Iterator[tuple[str, Chunk]]:
        """The surest first: they get the budget."""
        if options.imports and self.index is not None:
            yield from (("imports", chunk) for chunk in imported_definitions(path, text, self.index.texts))
        if options.recent:
            yield from (("recent", chunk) for chunk in self.recent.newest(but=path)[:_MAX_RECENT])
        if options.similar and self.index is not None:
            here = chunk_around(path, text[:offset], offset)
            yield from (("similar", chunk) for chunk in self.index.similar(here.identifiers, but=path))

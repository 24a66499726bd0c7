"""What every model is asked: positions and excerpts of held-out files, drawn by a seed.

As a file changes the positions in its other lines stay, so that the figures of a model's versions compare; excerpts
stay where their file does not change before their end. Blocks of several lines are drawn again. Everything is text, so
that models with different vocabularies compare, too. The rules for positions are those of `builder.fim_examples`: no
blank and no comment lines, half of the examples within a line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from builder.corpus.corpus import SourceFile
from builder.fim_examples import FimExample, draw_block_examples, draw_lasting_examples
from contract.errors import CorpusError


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """How much is scored."""

    positions: int = 50  # a 95 % interval of about ± 13 points in four minutes; `submodel eval` asks for more
    blocks: int = 0  # several lines at a time cost several times as much; `submodel eval` asks for them
    excerpts: int = 16
    excerpt_chars: int = 1200
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A piece of a held-out file, from the start of a line."""

    text: str
    language: str
    path: str


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What every model is asked."""

    fim_examples: tuple[FimExample, ...]  # the rest of one line each
    blocks: tuple[FimExample, ...]  # 2 to 6 lines each
    excerpts: tuple[Excerpt, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all that is asked."""
        digest = hashlib.sha256()
        for example in (*self.fim_examples, *self.blocks):
            digest.update(f"{example.file.path}\0{example.file.sha256}\0{example.offset}\0{example.middle}\0".encode())
        for excerpt in self.excerpts:
            digest.update(excerpt.text.encode() + b"\0")
        return digest.hexdigest()


def make_held_out(files: Sequence[SourceFile], settings: ScoringSettings) -> HeldOut:
    """FIM examples and excerpts from the held-out code; raises CorpusError where it holds no line of code."""
    held_out = [file for file in files if file.split == "held-out" and file.is_code]
    fim_examples = draw_lasting_examples(held_out, settings.positions, settings.seed)
    if not fim_examples:
        raise CorpusError("The held-out part of the repository has no line of code to score on; add code files.")
    blocks = draw_block_examples(held_out, settings.blocks, settings.seed)
    return HeldOut(fim_examples=fim_examples, blocks=blocks, excerpts=draw_excerpts(held_out, settings))


def draw_excerpts(files: Sequence[SourceFile], settings: ScoringSettings) -> tuple[Excerpt, ...]:
    """Snippets of the files, of whatever kind they are."""
    excerpts = [
        Excerpt(text=file.text[start : start + settings.excerpt_chars], language=file.language, path=file.path)
        for file in files
        for start in excerpt_starts(file.text, settings.excerpt_chars)
    ]
    excerpts.sort(key=lambda one: hashlib.sha256(f"{settings.seed}\0{one.path}\0{one.text}".encode()).digest())
    return tuple(excerpts[: settings.excerpts])


def excerpt_starts(text: str, size: int) -> list[int]:
    """Where snippets of `size` characters begin that do not overlap: each at the start of a line."""
    starts, position = [], 0
    while position < len(text):
        if text[position : position + size].strip():
            starts.append(position)
        newline = text.find("\n", position + size)
        position = newline + 1 if newline >= 0 else len(text)
    return starts

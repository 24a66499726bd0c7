"""What the engines are asked: held-out passages of a repository, typed key by key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from builder.corpus.corpus import read_corpus
from builder.cuts import Cut, worthwhile_lines
from builder.evaluation.held_out import ScoringSettings, make_held_out


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """How much is typed."""

    passages: int = 20
    lines: int = 3  # of each passage
    keys: int = 6  # of each line are asked about; the rest of it appears at once, as when a suggestion is accepted
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Keystroke:
    """One request: a file at the cursor, of which each engine sees what its users send, and what comes there."""

    before: str
    behind: str
    truth: str  # the rest of the line
    is_new_line: bool  # the first of its line
    is_new_place: bool  # the first of its passage: whatever was typed before is elsewhere


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Passages in the order in which they are typed, and text for prompts of any length."""

    passages: tuple[tuple[Keystroke, ...], ...]
    text: str


def make_replay(repository: Path, settings: ReplaySettings) -> Replay:
    """Passages of held-out files that begin where held-out lines are cut. Raises SubmodelError."""
    corpus = read_corpus(repository)
    held_out = make_held_out(corpus.files, ScoringSettings(positions=settings.passages, seed=settings.seed))
    text = "\n".join(file.text for file in corpus.files if file.split == "held-out")
    return Replay(passages=tuple(tuple(_type(cut, settings)) for cut in held_out.cuts), text=text)


def _type(cut: Cut, settings: ReplaySettings) -> Iterator[Keystroke]:
    text = cut.file.text
    spans = _lines(cut, settings.lines)
    behind = text[spans[-1][1] :]
    for begin, end in spans:
        for cursor in range(begin, min(end, begin + settings.keys)):
            yield Keystroke(
                before=text[:cursor],
                behind=behind,
                truth=text[cursor:end],
                is_new_line=cursor == begin,
                is_new_place=cursor == cut.offset,
            )


def _lines(cut: Cut, count: int) -> list[tuple[int, int]]:
    """From where to where lines are typed: the cut's rest, and the next ones worth it; those between appear at once."""
    spans = [(cut.offset, cut.offset + len(cut.middle))]
    behind = (span for span in worthwhile_lines(cut.file) if span[0] > cut.offset)
    for start, end in islice(behind, count - 1):
        spans.append((end - len(cut.file.text[start:end].lstrip()), end))
    return spans

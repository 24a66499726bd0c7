"""What the engines are asked: held-out lines of a repository, typed key by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.corpus.corpus import read_corpus
from builder.cuts import Cut
from builder.evaluation.held_out import ScoringSettings, make_held_out
from builder.prompt import PromptFormat, Window, cut_window

WINDOW = PromptFormat(prefix_token="p", suffix_token="s", middle_token="m")  # the same window for every engine


@dataclass(frozen=True, kw_only=True)
class Keystroke:
    """One request: the window at the cursor and what stands there in the file."""

    prefix: str
    suffix: str
    truth: str
    is_first: bool  # of its line: whatever was typed before is elsewhere


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Lines in the order in which they are typed, and text for prompts of any length."""

    lines: tuple[tuple[Keystroke, ...], ...]
    text: str


def make_replay(repository: Path, *, lines: int, keys: int, seed: int) -> Replay:
    """`lines` held-out lines, the first `keys` characters of each typed one by one."""
    corpus = read_corpus(repository)
    held_out = make_held_out(corpus.files, ScoringSettings(positions=lines, seed=seed))
    text = "\n".join(file.text for file in corpus.files if file.split == "held-out")
    return Replay(lines=tuple(tuple(_type(cut, keys)) for cut in held_out.cuts), text=text)


def _type(cut: Cut, keys: int) -> Sequence[Keystroke]:
    before, behind = cut.file.text[: cut.offset], cut.file.text[cut.offset + len(cut.middle) :]
    strokes = []
    for typed in range(min(keys, len(cut.middle))):
        left = before + cut.middle[:typed]
        window: Window = cut_window(left + behind, len(left), WINDOW)
        strokes.append(
            Keystroke(prefix=window.prefix, suffix=window.suffix, truth=cut.middle[typed:], is_first=typed == 0)
        )
    return strokes

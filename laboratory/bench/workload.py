"""What the engines are asked: keystrokes of held-out passages of a repository, or of lines that were added later."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from builder.corpus.corpus import read_corpus
from builder.evaluation.held_out import ScoringSettings, make_held_out
from builder.fim_examples import FimExample, draw_column, is_worthwhile, worthwhile_lines
from contract.errors import SubmodelError
from contract.repository.languages import get_language
from laboratory.replay.passages import Passage, added_since, describe_history, draw


@dataclass(frozen=True, kw_only=True)
class WorkloadSettings:
    """How much is typed."""

    passages: int = 20
    lines: int = 3  # of each passage
    keys: int = 6  # of each line are asked about; the rest of it appears at once, as when a suggestion is accepted
    seed: int = 1
    since: str | None = None  # type what commits after this revision added, in place of held-out files


@dataclass(frozen=True, kw_only=True)
class Keystroke:
    """One request: the file around the cursor, and the truth. Each engine sees what its users send of the file."""

    before: str
    behind: str
    truth: str  # the rest of the line
    path: str
    commit: str  # that has added the line; "" of a held-out file
    is_new_line: bool  # the first of its line
    is_new_place: bool  # the first of its passage: whatever was typed before is elsewhere

    @property
    def cluster(self) -> str:
        """The commit that has added the line, or its file: lines of one are alike."""
        return self.commit or self.path


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Passages in the order in which they are typed, and a text for prompts of any length."""

    passages: tuple[tuple[Keystroke, ...], ...]
    text: str
    source: str  # of the passages, in words
    added: tuple[Passage, ...] = ()  # all that later commits have added, without their texts, for `check_later`

    @property
    def strokes(self) -> list[Keystroke]:
        """All requests, in their order."""
        return [stroke for passage in self.passages for stroke in passage]


def hash_strokes(strokes: Sequence[Keystroke]) -> str:
    """Return the SHA-256 of the texts that are asked."""
    digest = hashlib.sha256()
    for stroke in strokes:
        digest.update("\0".join((stroke.before, stroke.behind, stroke.truth, "")).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def make_workload(repository: Path, settings: WorkloadSettings, held_out_sha256: Sequence[str] = ()) -> Workload:
    """Return passages of held-out files, or of later commits, that begin where lines are cut. Raises SubmodelError.

    held_out_sha256: of the texts that a bundle's build has held out. A file that changed since may have been learned,
    so that others are left out; without any hash today's split counts.
    """
    corpus = read_corpus(repository)
    text = "\n".join(file.text for file in corpus.files if file.split == "held-out")
    added: tuple[Passage, ...] = ()
    if settings.since is None:
        known = frozenset(held_out_sha256)
        files = [file for file in corpus.files if not known or file.sha256 in known]
        if not files:
            raise SubmodelError(
                f"None of the files that the bundle held out is in {repository} as it was; name a revision with "
                "--since, or build again."
            )
        files = [replace(file, split="held-out") for file in files] if known else files
        held_out = make_held_out(files, ScoringSettings(positions=settings.passages, seed=settings.seed))
        typed = [
            _type(example.file.text, _lines(example, settings.lines), settings.keys, example.file.path)
            for example in held_out.fim_examples
        ]
    else:
        rng = random.Random(settings.seed)
        found = added_since(repository, settings.since, settings.seed)
        added = tuple(replace(one, before="", truth="", after="", later="") for one in found)
        typed = [
            _type(
                one.before + one.truth + one.after,
                _lines_added(one, settings.lines, rng),
                settings.keys,
                one.path,
                one.commit,
                one.after,
            )
            for one in draw(found, settings.passages, settings.seed)
        ]
    source = "held-out files" if settings.since is None else describe_history(repository, settings.since)
    return Workload(passages=tuple(map(tuple, typed)), text=text, source=source, added=added)


def _type(
    text: str, spans: Sequence[tuple[int, int]], keys: int, path: str, commit: str = "", after: str | None = None
) -> Iterator[Keystroke]:
    """Yield a request for each key. after: what stands behind while one types, in place of the rest of the text."""
    behind = text[spans[-1][1] :] if after is None else after
    for begin, end in spans:
        for cursor in range(begin, min(end, begin + keys)):
            yield Keystroke(
                before=text[:cursor],
                behind=behind,
                truth=text[cursor:end],
                path=path,
                commit=commit,
                is_new_line=cursor == begin,
                is_new_place=cursor == spans[0][0],
            )


def _lines(example: FimExample, count: int) -> list[tuple[int, int]]:
    """Return the spans that are typed: the rest of the cut line, and the next worthwhile lines. Others just appear."""
    spans = [(example.offset, example.offset + len(example.middle))]
    behind = (span for span in worthwhile_lines(example.file) if span[0] > example.offset)
    for start, end in islice(behind, count - 1):
        spans.append((end - len(example.file.text[start:end].lstrip()), end))
    return spans


def _lines_added(passage: Passage, count: int, rng: random.Random) -> list[tuple[int, int]]:
    """Return the spans of a commit's passage: its first line, cut as held-out ones are, and later worthwhile ones."""
    language, start = get_language(passage.language), len(passage.before)
    spans: list[tuple[int, int]] = []
    for line in passage.truth.split("\n"):
        if not spans or is_worthwhile(line, language):
            column = len(line) - len(line.lstrip()) if spans else draw_column(line, rng)
            spans.append((start + column, start + len(line)))
        start += len(line) + 1
    return spans[:count]

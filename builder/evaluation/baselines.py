"""What a model must beat: completions that cost nothing, from the text alone.

Two of them. The most similar line: the end of the closest earlier line that begins as the current one does. The n-gram:
word by word, what followed the longest match of the last words, in the text before the cursor and in the calibration
files. Neither has parameters, and neither reads a held-out file beyond the cursor.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from builder.corpus.corpus import Corpus, SourceFile
from builder.evaluation.scores import ScoredAnswer, Scores
from builder.fim_examples import FimExample

_WORD = re.compile(r"\w+|\n|[^\w\S\n]+|[^\w\s]")
_MAX_WORDS = 40


def score_baselines(corpus: Corpus, fim_examples: Sequence[FimExample]) -> tuple[Scores, ...]:
    """Both of them on the same positions as the models."""
    n_gram = NGram.of(corpus.select("calibration"))
    completers = {"similar line": complete_by_similar_line, "n-gram": n_gram.complete}
    return tuple(
        Scores(
            name=name,
            lines=tuple(
                ScoredAnswer(answer=complete(example), truth=example.middle, language=example.file.language)
                for example in fim_examples
            ),
        )
        for name, complete in completers.items()
    )


def complete_by_similar_line(example: FimExample) -> str:
    """The rest of the nearest earlier line that begins like the current one; "" where none does."""
    before = example.file.text[: example.offset]
    *earlier, current = before.split("\n")
    start = current.lstrip()
    if not start:
        # At the start of a line: what followed the nearest line that equals the last one.
        last = next((line.strip() for line in reversed(earlier) if line.strip()), "")
        for index in range(len(earlier) - 2, -1, -1):
            if earlier[index].strip() == last and earlier[index + 1].strip():
                return earlier[index + 1].strip()
        return ""
    for line in reversed(earlier):
        text = line.strip()
        if text.startswith(start) and len(text) > len(start):
            return text[len(start) :]
    return ""


@dataclass(frozen=True)
class NGram:
    """Counts of the word that follows each context of up to `order` words."""

    order: int
    following: dict[tuple[str, ...], Counter[str]]

    @classmethod
    def of(cls, files: Iterable[SourceFile], order: int = 8) -> NGram:
        """Count over the code of `files`."""
        following: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for file in files:
            if file.is_code:
                _count(_WORD.findall(file.text), order, following)
        return cls(order, dict(following))

    def complete(self, example: FimExample) -> str:
        """The likeliest words one after the other, by the longest known context, up to the end of the line."""
        words = _WORD.findall(example.file.text[: example.offset])
        local: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        _count(words[-2000:], self.order, local)
        answer: list[str] = []
        while len(answer) < _MAX_WORDS:
            word = self._next([*words, *answer][-self.order :], local)
            if word is None or word == "\n":
                break
            answer.append(word)
        return "".join(answer)

    def _next(self, context: Sequence[str], local: dict[tuple[str, ...], Counter[str]]) -> str | None:
        for length in range(len(context), 0, -1):
            key = tuple(context[-length:])
            counts = local.get(key) or self.following.get(key)
            if counts:
                return counts.most_common(1)[0][0]
        return None


def _count(words: Sequence[str], order: int, following: defaultdict[tuple[str, ...], Counter[str]]) -> None:
    for index in range(1, len(words)):
        for length in range(1, min(order, index) + 1):
            following[tuple(words[index - length : index])][words[index]] += 1

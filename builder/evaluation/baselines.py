"""What a model must beat: model-free completions, from the text alone.

Two of them. The most similar line: the end of the closest earlier line that begins as the current one does. The n-gram:
word by word, what followed the longest match of the last words, in the text before the cursor and in the calibration
files. Neither has parameters, and neither reads a held-out file beyond the cursor.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from builder.corpus.corpus import Corpus, SourceFile
from builder.evaluation.scores import ScoredAnswer, Scores
from builder.fim_examples import FimExample
from contract.repository.texts import cut_order

_WORD = re.compile(r"\w+|\n|[^\w\S\n]+|[^\w\s]")
_MAX_WORDS = 40
MOST_WORDS: Final = 4_000_000  # some 400,000 lines; the tables take 400 MB then
_BETWEEN_FILES: Final = np.uint32(2**32 - 1)  # no word
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing


def score_baselines(corpus: Corpus, fim_examples: Sequence[FimExample]) -> tuple[Scores, ...]:
    """Both of them on the same positions as the models."""
    n_gram = NGram.of(corpus.select("calibration"))
    completers = {"similar line": complete_by_similar_line, "n-gram": n_gram.complete}
    return tuple(
        Scores(
            name=name,
            lines=tuple(
                ScoredAnswer(
                    answer=complete(example),
                    truth=example.middle,
                    language=example.file.language,
                    file=example.file.path,
                )
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


@dataclass(frozen=True, kw_only=True)
class NGram:
    """The word that follows each context of up to `order` words most often.

    Contexts are kept by their hashes, 64 bits each: counters by tuples of words took 600 times the text's size.
    """

    order: int
    words: Sequence[str]
    # By length of the contexts: their hashes, sorted, and the indices of the words that follow.
    likeliest: Mapping[int, tuple[NDArray[np.uint64], NDArray[np.uint32]]]

    @classmethod
    def of(cls, files: Iterable[SourceFile], order: int = 8) -> NGram:
        """Count over the code of `files`: MOST_WORDS of it at most, from all folders."""
        code = [file for file in files if file.is_code]
        numbers: dict[str, int] = {}
        numbered: dict[int, list[NDArray[np.uint32]]] = {}
        left = MOST_WORDS
        for index in sorted(range(len(code)), key=lambda index: cut_order(code[index].path)):
            if left > 0:
                found = _WORD.findall(code[index].text)[:left]
                left -= len(found)
                text = np.array([numbers.setdefault(word, len(numbers)) for word in found], np.uint32)
                numbered[index] = [text, np.array([_BETWEEN_FILES], np.uint32)]
        parts = [part for index in sorted(numbered) for part in numbered[index]]  # of two equal counts the first wins
        text = np.concatenate(parts) if parts else np.zeros(0, np.uint32)
        words = list(numbers)
        hashes = np.array([_hash(word) for word in words], np.uint64)
        return cls(
            order=order,
            words=words,
            likeliest={length: _likeliest(text, hashes, length) for length in range(1, order + 1)},
        )

    def complete(self, example: FimExample) -> str:
        """The likeliest words one after the other, by the longest known context, up to the end of the line."""
        words = _WORD.findall(example.file.text[: example.offset])
        local = _count(words[-2000:], self.order)
        answer: list[str] = []
        while len(answer) < _MAX_WORDS:
            word = self._next([*words, *answer][-self.order :], local)
            if word is None or word == "\n":
                break
            answer.append(word)
        return "".join(answer)

    def _next(self, context: Sequence[str], local: Mapping[tuple[str, ...], Counter[str]]) -> str | None:
        for length in range(len(context), 0, -1):
            key = tuple(context[-length:])
            if counts := local.get(key):
                return counts.most_common(1)[0][0]
            if (word := self._known(key)) is not None:
                return word
        return None

    def _known(self, context: Sequence[str]) -> str | None:
        hashes, following = self.likeliest[len(context)]
        wanted = 0
        for word in context:
            wanted = (wanted * int(_FACTOR) + _hash(word)) % 2**64
        place = int(np.searchsorted(hashes, np.uint64(wanted)))
        is_found = place < len(hashes) and int(hashes[place]) == wanted
        return self.words[following[place]] if is_found else None


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _likeliest(
    text: NDArray[np.uint32], hashes: NDArray[np.uint64], length: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """For each context of `length` words the word that follows it most often, of equals the first."""
    count = max(0, len(text) - length)
    following = text[length:]
    is_whole = following != _BETWEEN_FILES
    contexts = np.zeros(count, np.uint64)
    for offset in range(length):
        part = text[offset : offset + count]
        is_whole &= part != _BETWEEN_FILES
        contexts = contexts * _FACTOR + hashes[np.where(part == _BETWEEN_FILES, 0, part)]
    contexts, following = contexts[is_whole], following[is_whole]
    order = np.lexsort((following, contexts))  # stable: a pair's first place comes first
    contexts, following = contexts[order], following[order]
    starts = np.flatnonzero(_is_other(contexts) | _is_other(following))
    counts = np.diff(np.append(starts, len(contexts)))
    best = starts[np.lexsort((order[starts], -counts, contexts[starts]))]
    best = best[_is_other(contexts[best])]
    return contexts[best], following[best]


def _is_other(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each value differs from the one before it; the first does."""
    found = np.ones(len(values), bool)
    found[1:] = values[1:] != values[:-1]
    return found


def _count(words: Sequence[str], order: int) -> Mapping[tuple[str, ...], Counter[str]]:
    following: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for index in range(1, len(words)):
        for length in range(1, min(order, index) + 1):
            following[tuple(words[index - length : index])][words[index]] += 1
    return following

"""What to draft, and how much of it: speculative decoding without a second model.

Drafts come from text that is at hand (Saxena, prompt lookup decoding, 2023; Yang et al., LLMA, 2023). They are what
followed the last few tokens in earlier answers, in the context, or in the repository; two keystrokes in a row get
nearly the same answer. The model checks a whole draft in one step, whose cost grows slowly with its length. It keeps
the tokens that it picks itself. Rounding in int8 may then make it pick another one at a near tie.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contract.bundle.drafts import RUNS, DraftIndex

ANSWERS = 8  # that are remembered
MAX_DRAFT = 12  # tokens; a longer step costs more than its last tokens bring
MOST_TIMES = 2  # the expected time; a step that takes longer counts as one of that
LEARNED = 0.1  # weight of one token that was checked in the share of right ones
RECOVERED = 0.01  # weight of the first rate, at each draft that was not tried
Source = tuple[str, int]  # where the draft was found, and the length of the run that led there


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Tokens that may come next. Empty if nothing is known."""

    tokens: tuple[int, ...] = ()
    source: Source | None = None


NO_DRAFT = Draft()


@dataclass
class StepCosts:
    """Time of a step over k tokens, as a straight line through what was measured; old steps are forgotten slowly."""

    forget: float = 0.98  # weight of the past after each step, so that some fifty steps count
    _sums: list[float] = field(default_factory=list)  # Σ1, Σk, Σk², Σt, Σkt

    def observe(self, tokens: int, milliseconds: float) -> None:
        """Take a step's time into account."""
        if not self._sums:
            unit = milliseconds / (1 + 0.05 * (tokens - 1))
            self._sums = [0.0] * 5
            for known in (1, 5, 9):
                self._add(known, unit * (1 + 0.05 * (known - 1)))
        expected = self.of(tokens)
        milliseconds = min(milliseconds, MOST_TIMES * expected)
        if MOST_TIMES * milliseconds < expected:
            self._sums[3:] = [total * milliseconds / expected for total in self._sums[3:]]
        self._sums = [total * self.forget for total in self._sums]
        self._add(tokens, milliseconds)

    def of(self, tokens: int) -> float:
        """Return the expected time of a step over `tokens` tokens, in milliseconds; in steps if none was measured."""
        if not self._sums:
            return 1 + 0.05 * (tokens - 1)
        count, k, kk, t, kt = self._sums
        spread = count * kk - k * k
        slope = max(0.0, (count * kt - k * t) / spread) if spread > 1e-9 else 0.0
        return max(1e-6, (t - slope * k) / count + slope * tokens)

    def _add(self, tokens: int, milliseconds: float) -> None:
        for place, value in enumerate((1.0, tokens, tokens**2, milliseconds, tokens * milliseconds)):
            self._sums[place] += value


class Acceptance:
    """How likely a drafted token is right, by its source: a running share of those that were checked."""

    def __init__(self) -> None:
        self._rates: dict[Source, float] = {}

    def rate(self, source: Source) -> float:
        """Return the probability that a token is right if those before it were."""
        return self._rates.get(source, _first_rate(source))

    def observe(self, source: Source, right: int, checked: int) -> None:
        """Count a draft of which `right` tokens of `checked` were right: every right one, and the first wrong one."""
        outcomes = [1.0] * right + [0.0] * (right < checked)
        rate = self.rate(source)
        for outcome in outcomes:
            rate += LEARNED * (outcome - rate)
        self._rates[source] = min(0.98, max(0.02, rate))

    def recover(self, source: Source) -> None:
        """Count a draft that was not tried: a source that was wrong for long is tried again after some of these."""
        self._rates[source] = (1 - RECOVERED) * self.rate(source) + RECOVERED * _first_rate(source)


def _first_rate(source: Source) -> float:
    """Return the rate of a source before anything of it was checked."""
    return 0.75 if source[1] >= RUNS[0] else 0.55


class Drafter:
    """Finds drafts, and learns how much of them pays on this machine and in this text."""

    def __init__(self, index: DraftIndex | None = None) -> None:
        self._index = index
        # (prompt and answer, where the answer begins), the last first
        self._answers: deque[tuple[list[int], int]] = deque(maxlen=ANSWERS)
        self.costs = StepCosts()
        self.acceptance = Acceptance()

    def remember(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        """Remember an answer, with the control token that ended it."""
        if answer:
            self._answers.appendleft(([*prompt, *answer], len(prompt)))

    def propose(self, tokens: Sequence[int], room: int, *, only_answers: bool = False) -> Draft:
        """Return a draft of at most `room` tokens to follow `tokens` (the whole context, answer included)."""
        for draft in self._drafts(tokens, min(MAX_DRAFT, room), only_answers):
            assert draft.source is not None
            length = self._length(self.acceptance.rate(draft.source), len(draft.tokens))
            if length:
                return Draft(tokens=draft.tokens[:length], source=draft.source)
            self.acceptance.recover(draft.source)
        return NO_DRAFT

    def recall(self, tokens: Sequence[int], most: int) -> Draft:
        """Return at most `most` tokens that followed the last few of `tokens` earlier in them, or in the repository."""
        return next(self._recalled(tokens, most), NO_DRAFT)

    def _drafts(self, tokens: Sequence[int], most: int, only_answers: bool) -> Iterator[Draft]:
        """Yield what each source has to follow `tokens`, at least one token each, the best source first."""
        if most < 1:
            return
        yield from self._continued(tokens, most)
        if not only_answers:
            yield from self._found_in_answer(tokens, most)
            yield from self._recalled(tokens, most)

    def _continued(self, tokens: Sequence[int], most: int) -> Iterator[Draft]:
        """Yield what followed the same tokens, all of them, in an earlier answer."""
        count, whole = len(tokens), list(tokens)
        for known, _ in self._answers:
            if len(known) > count and known[:count] == whole:
                yield Draft(tokens=tuple(known[count : count + most]), source=("same answer", RUNS[0]))
                return

    def _found_in_answer(self, tokens: Sequence[int], most: int) -> Iterator[Draft]:
        """Yield what followed the last few tokens in the last answer."""
        if not self._answers:
            return
        known, start = self._answers[0]
        for run in range(RUNS[0], RUNS[-1] - 1, -1):
            before = max(0, start - run)  # an answer's first tokens may follow a run of its prompt's
            places = places_behind(np.asarray(tokens[-run:]), np.asarray(known[before:]))
            if len(places):
                place = before + int(places[0])
                yield Draft(tokens=tuple(known[place : place + most]), source=("answer", run))
                return

    def _recalled(self, tokens: Sequence[int], most: int) -> Iterator[Draft]:
        """Yield what followed the last few tokens earlier in them and in the repository, the longer run first."""
        run, following = find_in_context(tokens, most)
        drafts = [Draft(tokens=tuple(following), source=("context", run))]
        if self._index is not None:
            run, following = self._index.propose(tokens[-RUNS[0] :], most)
            drafts.append(Draft(tokens=tuple(following), source=("repository", run)))
            drafts.sort(key=lambda draft: draft.source[1] if draft.source else 0, reverse=True)  # stable
        yield from (draft for draft in drafts if draft.tokens)

    def _length(self, rate: float, most: int) -> int:
        """Return the length of draft that gives the most tokens a millisecond; 0 if a plain step does.

        If every token is right with probability p, a step over a draft of k gives (1 − pᵏ⁺¹) / (1 − p) tokens
        (Leviathan et al., 2023, equation 1).
        """
        best, best_pace = 0, 1 / self.costs.of(1)
        for length in range(1, most + 1):
            pace = (1 - rate ** (length + 1)) / (1 - rate) / self.costs.of(length + 1)
            if pace > best_pace:
                best, best_pace = length, pace
        return best


def find_in_context(tokens: Sequence[int], most: int) -> tuple[int, list[int]]:
    """Find the longest run, of 4, 3 or 2 tokens (RUNS), that ends `tokens` and stands earlier in it.

    Return its length and what followed it last; 0 and nothing if there is no such run.
    """
    context = np.asarray(tokens)
    for run in range(RUNS[0], RUNS[-1] - 1, -1):
        places = places_behind(context[-run:], context)
        if len(places):
            place = int(places[-1])
            return run, context[place : place + most].tolist()
    return 0, []


def places_behind(run: NDArray[np.int64], text: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return where in `text` the run has just ended and something follows, in rising order."""
    count = len(text) - len(run)  # starts of runs that have a next token
    if count < 1:
        return np.empty(0, np.intp)
    is_match = np.ones(count, bool)
    for offset, token in enumerate(run):
        is_match &= text[offset : offset + count] == token
    return np.flatnonzero(is_match) + len(run)

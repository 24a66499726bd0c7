"""Greedy decoding, token by token. A step gives several tokens if its draft is right."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lsp_server.decoding.decoder import Decoder
from lsp_server.decoding.healing import Start
from lsp_server.decoding.speculation import NO_DRAFT, Draft, Drafter
from lsp_server.serve_errors import ServeError


class GreedyTokens:
    """Continues a prompt. The decoder's cache holds its first `kept` tokens; if that is all, also the logits after it.

    Iterating yields each token with its probability. It ends only if `is_stopped` says so, if the positions run out, or
    if no token fits `start`, with which the tokens have to begin. Only in the first case `was_stopped` is true. The
    cache may then hold more tokens than were taken: those of a draft that was right. `last`: tokens behind which none
    is taken, so that none is drafted there.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompt_ids: Sequence[int],
        kept: int,
        is_stopped: Callable[[], bool],
        drafter: Drafter | None = None,
        start: Start | None = None,
        last: Set[int] = frozenset(),
    ) -> None:
        self.computed = 0  # tokens of the prompt that were not in the cache
        self.was_stopped = False
        self._decoder = decoder
        self._prompt_ids = prompt_ids
        self._kept = kept
        self._asks_to_stop = is_stopped
        self._drafter = drafter
        self._start = start
        self._last = last
        self._context = list(prompt_ids)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        draft, whole = NO_DRAFT, len(self._prompt_ids)
        sizes = self._decoder.chunk
        start = self._kept
        known = self._decoder.cache.logits_after(whole)
        if known is not None:
            logits = known[None]
        while start < whole:
            if self._is_stopped():
                return
            chunk = list(self._prompt_ids[start : start + sizes.take(whole - start)])
            start += len(chunk)
            if start == whole:
                draft = self._propose(len(chunk))
            began = time.perf_counter()
            logits = self._decoder.feed([*chunk, *draft.tokens], keep=1 + len(draft.tokens))
            sizes.observe(len(chunk) + len(draft.tokens), time.perf_counter() - began)
            self.computed += len(chunk)
            if start == whole:
                self._decoder.cache.keep_logits(whole, logits[:1])  # also for who asks after a cancelled request
        while not self._is_stopped():
            before = len(self._context)
            yield from self._take(logits, draft)
            if len(self._context) == before or not self._room():  # no token fits the start, or no place is left
                return
            draft = self._propose(1)
            tokens = [self._context[-1], *draft.tokens]
            started = time.perf_counter()
            logits = self._decoder.feed(tokens, keep=len(tokens))
            if self._drafter is not None:
                self._drafter.costs.observe(len(tokens), (time.perf_counter() - started) * 1000)

    def _take(self, logits: NDArray[np.float32], draft: Draft) -> Iterator[tuple[int, float]]:
        """Yield the model's tokens with their probabilities: the draft as far as it is right, and one token more.

        logits: (1 + drafted, vocabulary), the first after the last token that is certain. Raises ServeError if the best
        one is no finite number; the cache, which may hold the cause, is then empty.
        """
        chosen: list[tuple[int, float]] = []
        right = 0
        while (choice := self._choose(logits[right])) is not None:
            if not math.isfinite(logits[right, choice[0]]):  # argmax takes NaN for the largest
                self._decoder.cache.keep(0)
                raise ServeError("The model computed no finite numbers for the next token; build the bundle again.")
            chosen.append(choice)
            if right == len(draft.tokens) or choice[0] != draft.tokens[right]:
                break
            right += 1
        cache = self._decoder.cache
        cache.keep(len(cache.tokens) - len(draft.tokens) + right)
        cache.keep_logits(len(cache.tokens) - right, logits[: right + 1])
        if draft.source is not None and self._drafter is not None:
            self._drafter.acceptance.observe(draft.source, right, len(draft.tokens))
        for token, probability in chosen:
            self._context.append(token)
            yield token, probability

    def _choose(self, logits: NDArray[np.float32]) -> tuple[int, float] | None:
        """Return the next token from its logits, (vocabulary,), and its probability; None if none fits the start."""
        if self._start is not None and self._start.is_open:
            return self._start.choose(logits)
        token = int(logits.argmax())
        return token, float(1.0 / np.exp(logits - logits[token]).sum())

    def _propose(self, certain: int) -> Draft:
        """Return a draft after the context, for a step that reads `certain` tokens before it."""
        if self._drafter is None:
            return NO_DRAFT
        cache = self._decoder.cache
        room = cache.max_positions - len(cache.tokens) - certain
        is_begun = self._start is None or not self._start.is_open
        draft = self._drafter.propose(self._context, room, only_answers=not is_begun)
        end = next((place for place, token in enumerate(draft.tokens, start=1) if token in self._last), None)
        draft = replace(draft, tokens=draft.tokens[:end])
        return draft if self._start is None or self._start.may_begin(draft.tokens) else NO_DRAFT

    def _is_stopped(self) -> bool:
        self.was_stopped = self._asks_to_stop()
        return self.was_stopped

    def _room(self) -> bool:
        return len(self._decoder.cache.tokens) < self._decoder.cache.max_positions

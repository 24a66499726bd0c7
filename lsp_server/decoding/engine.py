"""Greedy decoding over a bundle, with the KV cache kept from one request to the next."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from contract.bundle.bundle import Bundle
from contract.bundle.drafts import FILES, FOLDER, open_index
from contract.prompt import PromptEncoder, PromptFormat
from lsp_server.decoding.decoder import PROMPT_CHUNK, Decoder
from lsp_server.decoding.detokenizer import Detokenizer, control_ids, load_tokenizer
from lsp_server.decoding.external_data import check_external_data
from lsp_server.decoding.healing import Start, Vocabulary
from lsp_server.decoding.kv_cache import KvCache, KvMemory
from lsp_server.decoding.providers import Provider, choose_provider
from lsp_server.decoding.runtime import offered_providers
from lsp_server.decoding.speculation import MAX_DRAFT, NO_DRAFT, Draft, Drafter
from lsp_server.serve_errors import ServeError

log = logging.getLogger(__name__)

LINE_TOKENS = 32  # nearly every line of code is shorter, from the cursor on
KV_BYTES = 76 << 20  # two whole windows and a short one: half a billion parameters take 24 KB a token


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


def most_kv_bytes(cache: KvCache, prompt_format: PromptFormat) -> int:
    """Return KV_BYTES, or what a whole window and a short one of a larger model take: else one pushes the other out."""
    return max(KV_BYTES, cache.bytes_for(min(cache.max_positions, 2 * prompt_format.max_prefix_tokens)))


class FinishReason(StrEnum):
    """Why an answer ended."""

    LINES = "lines"
    DONE = "done"
    CONTROL_TOKEN = "control token"
    LENGTH = "length"
    BROKEN_TEXT = "broken text"  # bytes that are no character
    NO_TOKEN = "no token"  # none fits what the answer has to begin with
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Generation:
    """An answer. `computed_tokens` of `prompt_tokens` were not in the cache."""

    text: str  # whole lines or up to where it ended, whole characters only
    token_ids: tuple[int, ...]  # as generated, without the control token that ended them
    probabilities: tuple[float, ...]  # the model's, of each token; one more if a control token ended them
    prompt_tokens: int
    computed_tokens: int
    milliseconds: float
    finish: FinishReason


class Engine:
    """A bundle in memory, ready to answer. Not for several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int | None = None,
        provider: Provider = Provider.CPU,
        kv_bytes: int | None = None,
    ) -> None:
        """Load the bundle; raises ServeError, BundleError or BuildError if its model or tokenizer is not one to load.

        `choice` then says where it runs, and why there. `kv_bytes` bounds the keys and values of all places together
        (`most_kv_bytes` if it is None).
        """
        shape = bundle.architecture
        self.max_positions = shape.max_positions
        cache = KvCache(
            layers=shape.layers, kv_heads=shape.kv_heads, head_dim=shape.head_dim, max_positions=shape.max_positions
        )
        # Tokenizer and graph are loaded in turn: in parallel is a little faster, but needs a quarter more memory.
        self.encoder = PromptEncoder(load_tokenizer(bundle.tokenizer_path), bundle.prompt)
        self._vocabulary = Vocabulary(self.encoder.tokenizer)
        if not self.can_heal:
            log.warning("%s is not byte-level, so a begun word is not completed as well.", bundle.tokenizer_path)
        self._control_ids = control_ids(self.encoder.tokenizer) | self.encoder.stop_ids
        # A file that the manifest doesn't list was not checked.
        has_drafts = all(f"{FOLDER}/{name}" in bundle.manifest["files"] for name in FILES)
        self.drafter: Drafter | None = Drafter(open_index(bundle.folder / FOLDER) if has_drafts else None)
        self.choice = choose_provider(provider, offered_providers(), bundle.graphs)
        path = bundle.graphs[self.choice.precision] if self.choice.precision else bundle.model_path
        check_external_data(bundle, path)  # the runtime opens any file that a graph names
        self.decoder = Decoder(path, cache, shape.vocab_size, threads, self.choice.provider)
        log.info("Running on %s: %s.", self.choice.provider, self.choice.why)
        self.memory = KvMemory(
            cache, most_kv_bytes(cache, self.encoder.prompt_format) if kv_bytes is None else kv_bytes
        )

    @property
    def can_heal(self) -> bool:
        """Whether an answer can be given a `start`: the tokenizer is byte-level."""
        return self._vocabulary.is_byte_level

    def generate(
        self,
        prompt_ids: Sequence[int],
        *,
        max_new_tokens: int | None = None,
        stop: Callable[[], bool] | None = None,
        lines: int | None = 1,
        is_done: Callable[[str, float], bool] | None = None,
        start: str = "",
    ) -> Generation:
        """Continue the prompt (at least one token) up to a control token or to `lines` lines (None: any number).

        `max_new_tokens` is by default LINE_TOKENS a line. `is_done` sees the text after each token, and that
        token's probability, and ends the answer with it. `start` is what the answer has to begin with; the answer's
        text contains it. `stop` is asked between steps, and between the chunks of a long prompt. Raises ServeError if
        the prompt is empty or leaves no position for an answer; ServeError or EngineCrash if the model fails.
        """
        started = time.perf_counter()
        self._check(prompt_ids)
        is_stopped = stop or _never
        limit = LINE_TOKENS * (lines or 1) if max_new_tokens is None else max_new_tokens
        cache = self._use_memory(prompt_ids, limit)
        if cache.logits_after(len(prompt_ids)) is None:
            cache.keep(len(prompt_ids) - 1)  # the last token is computed again: the answer starts from its logits
        kept = len(cache.tokens)
        begin = Start(self._vocabulary, start) if start else None
        last = self._vocabulary.line_ends if lines == 1 else frozenset()
        greedy = GreedyTokens(self.decoder, prompt_ids, kept, is_stopped, self.drafter, begin, last)
        detokenizer = Detokenizer(self.encoder.tokenizer, prompt_ids)
        room = min(limit, self.max_positions - len(prompt_ids))
        token_ids: list[int] = []
        probabilities: list[float] = []
        text, finish = "", FinishReason.NO_TOKEN
        end: tuple[int, ...] = ()
        for token, probability in greedy:
            if room == 0:
                finish = FinishReason.LENGTH
                break
            probabilities.append(probability)
            if token in self._control_ids:
                finish, end = FinishReason.CONTROL_TOKEN, (token,)
                break
            token_ids.append(token)
            text = detokenizer.text(token_ids)
            is_ended = is_done is not None and is_done(text, probability)
            if lines is not None and text.count("\n") >= lines:
                text, finish = "\n".join(text.split("\n")[:lines]), FinishReason.LINES
                break
            if is_ended:
                finish = FinishReason.DONE
                break
            if detokenizer.is_broken(token_ids):
                finish = FinishReason.BROKEN_TEXT
                break
            if len(token_ids) == room:
                finish = FinishReason.LENGTH
                break
        if greedy.was_stopped:
            finish = FinishReason.CANCELLED
        if self.drafter is not None:
            self.drafter.remember(prompt_ids, (*token_ids, *end))
        return Generation(
            text=text,
            token_ids=tuple(token_ids),
            probabilities=tuple(probabilities),
            prompt_tokens=len(prompt_ids),
            computed_tokens=greedy.computed,
            milliseconds=(time.perf_counter() - started) * 1000,
            finish=finish,
        )

    def recall(self, prompt_ids: Sequence[int]) -> str:
        """Return the rest of a line that followed the prompt's last tokens earlier in it, or in the repository."""
        tokens = self.drafter.recall(prompt_ids, LINE_TOKENS).tokens if self.drafter is not None else ()
        known = list(itertools.takewhile(lambda token: token not in self._control_ids, tokens))
        line, newline, _ = Detokenizer(self.encoder.tokenizer, prompt_ids).text(known).partition("\n")
        return line if newline else ""  # the end of the line is not known

    def read(self, prompt_ids: Sequence[int], stop: Callable[[], bool] | None = None) -> int:
        """Read a prompt that may be asked for soon, and return how many tokens were computed."""
        self._check(prompt_ids)
        cache, sizes = self._use_memory(prompt_ids, LINE_TOKENS), self.decoder.chunk
        known = len(cache.tokens)
        while (left := len(prompt_ids) - len(cache.tokens)) and not (stop or _never)():
            chunk = prompt_ids[-left:][: sizes.take_ahead(left)]
            began = time.perf_counter()
            logits = self.decoder.feed(chunk)
            sizes.observe(len(chunk), time.perf_counter() - began)
            if len(chunk) == left:
                cache.keep_logits(len(prompt_ids), logits)
        return len(cache.tokens) - known

    def reading_s(self, prompt_ids: Sequence[int]) -> float:
        """Return the expected time to read what no cache holds of a prompt."""
        return self.decoder.chunk.seconds(len(prompt_ids) - self.known_tokens(prompt_ids))

    def known_tokens(self, prompt_ids: Sequence[int]) -> int:
        """Return how many tokens of a prompt's start a cache holds."""
        return self.memory.known(prompt_ids)

    def all_logits(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits after each of `token_ids`, (tokens, vocabulary), from an empty cache; for scoring."""
        self.memory.clear()
        self.decoder.use(self.memory.take(token_ids, len(token_ids)), len(token_ids))
        chunks = [token_ids[start : start + PROMPT_CHUNK] for start in range(0, len(token_ids), PROMPT_CHUNK)]
        return np.concatenate([self.decoder.feed(chunk, keep=len(chunk)).copy() for chunk in chunks])

    def _check(self, prompt_ids: Sequence[int]) -> None:
        if not prompt_ids:
            raise ServeError("An empty prompt has no continuation; give at least one token.")
        if len(prompt_ids) >= self.max_positions:
            raise ServeError(f"A prompt of {len(prompt_ids)} tokens leaves no room in {self.max_positions} positions.")

    def _use_memory(self, prompt_ids: Sequence[int], new_tokens: int) -> KvCache:
        """Let the decoder use the cache that holds most of the prompt, with room for an answer."""
        positions = min(len(prompt_ids) + new_tokens + MAX_DRAFT + 1, self.max_positions)
        cache = self.memory.take(prompt_ids, positions)
        self.decoder.use(cache, positions)
        return cache


def _never() -> bool:
    return False

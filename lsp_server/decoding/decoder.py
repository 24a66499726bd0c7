"""The decode graph with its bound buffers: token ids in, logits out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime import IOBinding, OrtValue

from contract.runtime_errors import RUNTIME_ERRORS
from lsp_server.decoding.kv_cache import PAST, KvCache
from lsp_server.decoding.providers import Provider
from lsp_server.decoding.runtime import open_session
from lsp_server.serve_errors import EngineCrash, ServeError

LOGITS_TO_KEEP = "num_logits_to_keep"  # optional input of the graph: compute the head for the last positions only
MEMORY_SIGNS = ("allocate", "bad_alloc")  # in the runtime's words if memory ran out; it has no error for that


PROMPT_CHUNK = 128  # tokens, until this machine's speed is known; half the size takes 8 % longer
CHUNK_S = 0.2  # a cancelled request waits for one chunk at most
MAX_CHUNK = 512  # tokens; longer ones are slower again
AHEAD_S = 0.1  # the same for a request that comes while a prompt is read ahead
MIN_AHEAD = 32  # tokens; smaller chunks take nearly as long, and show little about longer ones
MOST_TIMES = 3  # the expected time; a chunk that takes longer, as when the machine stood still, counts as one of that
REMAINDER = 40  # tokens that are read with the chunk before them: alone they would take as long as all 40


class ChunkSize:
    """The number of tokens that this machine reads in CHUNK_S, estimated from the chunks that it has read."""

    def __init__(self) -> None:
        self.tokens = PROMPT_CHUNK
        self._token_s = CHUNK_S / PROMPT_CHUNK  # running mean; at first a guess
        self._is_guess = True

    def take(self, left: int) -> int:
        """Return how many of `left` tokens are read now: a chunk, or all if hardly more are left."""
        return left if left <= self.tokens + REMAINDER else self.tokens

    def take_ahead(self, left: int) -> int:
        """Return how many of `left` tokens are read at once while nobody waits for them."""
        return min(left, max(MIN_AHEAD, round(self.tokens * AHEAD_S / CHUNK_S)))

    def seconds(self, tokens: int) -> float:
        """Return the time that reading so many tokens of a prompt is expected to take."""
        return tokens * self._token_s

    def observe(self, tokens: int, seconds: float) -> None:
        """Take a chunk's time into account, unless it was too short to tell."""
        if tokens < MIN_AHEAD:
            return
        if not self._is_guess:
            seconds = min(seconds, MOST_TIMES * self.seconds(tokens))
        self._is_guess = False
        wanted = min(MAX_CHUNK, max(PROMPT_CHUNK // 2, round(tokens / seconds * CHUNK_S)))
        self.tokens += round(0.5 * (wanted - self.tokens))
        self._token_s += 0.5 * (seconds / tokens - self._token_s)


class Decoder:
    """One session, and the KV cache in use. Not for several threads at once."""

    def __init__(
        self,
        model_path: Path,
        cache: KvCache,
        vocab_size: int,
        threads: int | None = None,
        provider: Provider = Provider.CPU,
    ) -> None:
        self.cache = cache
        self.chunk = ChunkSize()
        self._session = open_session(model_path, threads, provider)
        types = {value.name: value.type for value in self._session.get_inputs()}
        cache.number = np.float16 if types.get(f"{PAST}0.key") == "tensor(float16)" else np.float32
        self._bound: tuple[KvCache, int] | None = None  # whose buffers the session has, and after how many moves
        self._binding: IOBinding = self._session.io_binding()
        optional = {value.name for value in self._session.get_overridable_initializers()}
        self._can_keep_last = LOGITS_TO_KEEP in optional
        self._inputs: dict[str, NDArray[np.int64]] = {}
        self._mask = np.ones((1, cache.max_positions), np.int64)
        self._buffer: NDArray[np.float32] = np.empty((1, 0, vocab_size), np.float32)
        self._logits = self._buffer

    def use(self, cache: KvCache, positions: int) -> None:
        """Read into `cache` from now on, and give it room for `positions` tokens; raises EngineCrash as that does."""
        cache.reserve(positions)
        self.cache = cache

    def feed(self, tokens: Sequence[int], *, keep: int = 1) -> NDArray[np.float32]:
        """Read `tokens` (at least one) after those in the cache; return the logits after the last `keep` of them.

        They have the shape (keep, vocabulary), and the next call may overwrite them. Raises ServeError if the graph
        fails or the positions run out; the cache then holds the tokens that it held. Raises
        EngineCrash if memory ran out, and for any other error.
        """
        cache = self.cache
        total = len(cache.tokens) + len(tokens)
        if total > cache.max_positions:
            raise ServeError(f"{total} tokens don't fit into the bundle's {cache.max_positions} positions.")
        cache.reserve(total)
        try:
            if self._bound != (cache, cache.moves):
                cache.bind(self._binding)
                self._bound = cache, cache.moves
            self._bind("input_ids", np.array([tokens], np.int64))
            self._bind("attention_mask", self._mask[:, :total])
            self._bind_logits(keep if self._can_keep_last else len(tokens))
            self._session.run_with_iobinding(self._binding)
        except RUNTIME_ERRORS as error:
            if any(sign in str(error) for sign in MEMORY_SIGNS):
                raise EngineCrash(str(error)) from error
            raise ServeError(f"The model failed on {len(tokens)} tokens ({error}); build the bundle again.") from error
        except Exception as error:  # Python's own MemoryError, or an error of the runtime's binding
            raise EngineCrash(str(error) or type(error).__name__) from error
        cache.tokens.extend(tokens)
        return self._logits[0, -keep:]

    def _bind_logits(self, positions: int) -> None:
        if self._logits.shape[1] == positions:
            return
        if self._buffer.shape[1] < positions:
            self._buffer = np.empty((1, positions, self._buffer.shape[2]), np.float32)
        self._logits = self._buffer[:, :positions]  # the first part of the buffer, so without gaps
        self._binding.bind_ortvalue_output("logits", OrtValue.ortvalue_from_numpy(self._logits))
        if self._can_keep_last:
            self._bind(LOGITS_TO_KEEP, np.array([positions], np.int64))

    def _bind(self, name: str, array: NDArray[np.int64]) -> None:
        self._inputs[name] = array  # the runtime reads this memory and holds no reference to it
        self._binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array))

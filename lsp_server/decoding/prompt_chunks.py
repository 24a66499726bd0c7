"""How many tokens of a prompt are read at once. A cancelled request waits for one such chunk."""

from __future__ import annotations

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

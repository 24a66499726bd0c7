"""How much of a prompt is read at once: as much as a cancelled request may be made to wait for."""

from __future__ import annotations

PROMPT_CHUNK = 128  # tokens, where nothing is known of this machine's speed; half the size takes 8 % longer
CHUNK_S = 0.2  # a cancelled request waits for one chunk at most
MAX_CHUNK = 512  # tokens; longer ones are slower again
REMAINDER = 40  # tokens that are read with the chunk before them: alone they would take as long as all 40


class ChunkSize:
    """How many tokens of a prompt are read at once: what takes this machine CHUNK_S, by the chunks that it has read."""

    def __init__(self) -> None:
        self.tokens = PROMPT_CHUNK

    def take(self, left: int) -> int:
        """How many of `left` tokens are read now: a chunk, or all where hardly more are left."""
        return left if left <= self.tokens + REMAINDER else self.tokens

    def observe(self, tokens: int, seconds: float) -> None:
        """Take a chunk's time into account, unless it was too short to tell."""
        if tokens >= PROMPT_CHUNK // 2:
            wanted = min(MAX_CHUNK, max(PROMPT_CHUNK // 2, round(tokens / seconds * CHUNK_S)))
            self.tokens += round(0.5 * (wanted - self.tokens))

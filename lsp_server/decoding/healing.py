"""Token healing: the answer may share a token with what stands before the cursor.

A tokenizer splits `return sel` into other tokens than `return self`, and `flag.` into others than `flag.Usage`. A
prompt that ends within such a token is thus unlike nearly all training text. So the begun word, or else the last token,
is taken back from the prompt, and the answer has to begin with it (Lundberg, guidance, 2023). All keystrokes of one
word then share one prompt, and the KV cache with it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, pre_tokenizers

_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
_LINE_FEED = "Ċ"  # in the byte-level alphabet
_SENTENCEPIECE_SPACE = "▁"  # which the byte-level alphabet does not have


class Vocabulary:
    """The text of every token, ordered, for a byte-level tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = tokenizer.get_added_tokens_decoder()
        pairs = sorted((piece, i) for piece, i in tokenizer.get_vocab().items() if i not in special)
        self._pieces = [piece for piece, _ in pairs]
        self._ids = np.array([i for _, i in pairs], np.int64)
        self._by_id = {i: piece for piece, i in pairs}
        self.line_ends = frozenset(i for piece, i in pairs if _LINE_FEED in piece)  # tokens that hold one
        # Else no token fits a start that holds a space.
        self.is_byte_level = not any(_SENTENCEPIECE_SPACE in piece for piece in self._pieces)

    def fitting(self, start: str) -> NDArray[np.int64]:
        """Return the ids of tokens that agree with `start` as far as both go (in the byte-level alphabet)."""
        low = bisect_left(self._pieces, start)
        high = bisect_left(self._pieces, start + chr(0x10FFFF))
        shorter = [
            self._ids[place]
            for length in range(1, len(start))
            if (place := bisect_left(self._pieces, start[:length])) < len(self._pieces)
            and self._pieces[place] == start[:length]
        ]
        return np.concatenate([self._ids[low:high], np.array(shorter, np.int64)])

    def piece(self, token_id: int) -> str:
        """Return a token in the byte-level alphabet; "" for control tokens."""
        return str(self._by_id.get(token_id, ""))


class Start:
    """The text with which an answer has still to begin."""

    def __init__(self, vocabulary: Vocabulary, text: str) -> None:
        self._vocabulary = vocabulary
        self._left = "".join(piece for piece, _ in _BYTES.pre_tokenize_str(text))

    @property
    def is_open(self) -> bool:
        """Whether a part of it is left, so that the next token is constrained."""
        return bool(self._left)

    def may_begin(self, tokens: Sequence[int]) -> bool:
        """Return whether the tokens agree with what is left, as far as both go."""
        text = "".join(map(self._vocabulary.piece, tokens))
        shared = min(len(text), len(self._left))
        return text[:shared] == self._left[:shared]

    def choose(self, logits: NDArray[np.float32]) -> tuple[int, float] | None:
        """Return the most probable token that fits, (vocabulary,) → id, and its probability among those that do.

        The token then counts as written. None if no token fits.
        """
        ids = self._vocabulary.fitting(self._left)
        ids = ids[ids < len(logits)]
        if not len(ids):
            return None
        fitting = logits[ids]
        chosen = int(ids[fitting.argmax()])
        self._left = self._left[len(self._vocabulary.piece(chosen)) :]
        return chosen, float(1.0 / np.exp(fitting - fitting.max()).sum())


def without_start(text: str, start: str) -> str:
    """Return the answer without what it had to begin with; "" while that is not whole."""
    return text[len(start) :] if text.startswith(start) else ""

"""Token healing: a cursor within a word completes as if the word had not been begun.

A tokenizer splits `return sel` into other tokens than `return self`. A prompt that ends in `sel` is thus unlike nearly
all training text. So the begun word is taken back from the prompt, and the answer has to begin with it (Lundberg,
guidance, 2023). All keystrokes of one word then share one prompt, and the KV cache with it. The same holds for a space
after text: nearly every word's token begins with its space, so that few tokens ever follow a space alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, pre_tokenizers

MAX_WORD = 40  # characters; what is longer is no word
TAIL = 200  # characters that are enough to see how the last ones are split
_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def begun_word(tokenizer: Tokenizer, prefix: str) -> str:
    """Return the last characters of `prefix` that a longer word would share a token with; "" if there are none.

    They end in a letter. A leading space belongs to them, since tokens hold it. A single space after text is begun too.
    """
    if prefix[-1:] == " " and prefix[-2:-1].strip():
        return " "
    if not prefix or not (prefix[-1].isalpha() or prefix[-1] == "_"):
        return ""
    tail = prefix[-TAIL:]
    pre_tokens = tokenizer.pre_tokenizer.pre_tokenize_str(tail) if tokenizer.pre_tokenizer else []
    if not pre_tokens:
        return ""
    start, end = pre_tokens[-1][1]
    word = str(tail[start:end])
    # A word that begins where the tail does may have begun before it.
    return word if end == len(tail) and (start > 0 or len(tail) < TAIL) and len(word) <= MAX_WORD else ""


class Vocabulary:
    """The text of every token, ordered, for a byte-level tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = tokenizer.get_added_tokens_decoder()
        pairs = sorted((piece, i) for piece, i in tokenizer.get_vocab().items() if i not in special)
        self._pieces = [piece for piece, _ in pairs]
        self._ids = np.array([i for _, i in pairs], np.int64)
        self._by_id = {i: piece for piece, i in pairs}

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

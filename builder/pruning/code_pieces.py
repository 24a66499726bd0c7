"""Which tokens new code of a language is likely to use: a table of short strings and of the share of files with them.

What a repository has used so far is not all that it will use. Of flask's held-out tokens 2 % are none of the 23,290
that the other files and the first merges give, and each of those costs several; of as many that this table gives, 0.9 %
are none (dev/LOG.md). Merges are ranked by text of all kinds and languages, the table by code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from tokenizers import Tokenizer

CODE_PIECES_FILE: Final = Path(__file__).with_name("code_pieces.npz")  # benchmarks/make_code_pieces.py makes it


@dataclass(frozen=True, kw_only=True)
class CodePieces:
    """`shares`: (strings, languages), the share of a language's files that hold the piece, packages weighted alike."""

    pieces: tuple[str, ...]
    languages: tuple[str, ...]
    shares: np.ndarray[Any, np.dtype[np.float16]]

    def expected(self, code_bytes: Mapping[str, int]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Share of new files that hold each piece, in code with so many bytes of each language.

        A language that the table lacks counts as a mixture of all that it has.
        """
        weights = np.array([code_bytes.get(language, 0) for language in self.languages], dtype=np.float64)
        others = sum(size for language, size in code_bytes.items() if language not in self.languages)
        weights += (others or not weights.any()) / len(self.languages)
        shares: np.ndarray[Any, np.dtype[np.float64]] = self.shares.astype(np.float64) @ (weights / weights.sum())
        return shares


@cache
def read_code_pieces() -> CodePieces:
    """The table that comes with the package."""
    with np.load(CODE_PIECES_FILE, allow_pickle=False) as data:
        return CodePieces(
            pieces=tuple(data["pieces"].tobytes().decode().split("\0")),
            languages=tuple(map(str, data["languages"])),
            shares=data["shares"],
        )


def expected_tokens(tokenizer: Tokenizer, code_bytes: Mapping[str, int]) -> dict[int, float]:
    """Ids of the tokenizer that new code will use, and in what share of files, the most expected first.

    A piece that is several tokens of this tokenizer counts for each of them.
    """
    table = read_code_pieces()
    expected: dict[int, float] = {}
    encoded = tokenizer.encode_batch(list(table.pieces), add_special_tokens=False)
    for encoding, share in zip(encoded, table.expected(code_bytes).tolist(), strict=True):
        for token_id in encoding.ids:
            expected[token_id] = max(share, expected.get(token_id, 0.0))
    return dict(sorted(expected.items(), key=lambda item: (-item[1], item[0])))

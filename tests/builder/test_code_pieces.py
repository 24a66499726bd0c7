"""Which tokens code is likely to use."""

import numpy as np
import pytest

from builder.pruning import code_pieces
from builder.pruning.code_pieces import CodePieces, expected_tokens, read_code_pieces
from testbed.tokenizer import make_tokenizer

MOST_BYTES = 1 << 20  # it is in every wheel
TABLE = CodePieces(
    pieces=("def", "class", "=", "é\n"),
    languages=("Python", "Java"),
    shares=np.array([[0.8, 0.0], [0.4, 0.9], [1.0, 1.0], [0.0, 0.001]], dtype=np.float16),
)


@pytest.mark.parametrize(
    ("code_bytes", "expected"),
    [
        ({"Python": 10}, [0.8, 0.4, 1.0, 0.0]),
        ({"Python": 300, "Java": 100}, [0.6, 0.525, 1.0, 0.00025]),
        ({"Haskell": 7}, [0.4, 0.65, 1.0, 0.0005]),
        ({"Python": 100, "Haskell": 100}, [0.6, 0.525, 1.0, 0.00025]),
        ({}, [0.4, 0.65, 1.0, 0.0005]),
    ],
)
def test_languages_count_by_their_bytes(code_bytes, expected):
    assert TABLE.expected(code_bytes) == pytest.approx(expected, rel=1e-3)


def test_tokens_come_by_what_is_expected_of_them(monkeypatch):
    """A piece that the tokenizer splits counts for each of its tokens, and a token for its most usual piece."""
    monkeypatch.setattr(code_pieces, "read_code_pieces", lambda: TABLE)
    tokenizer = make_tokenizer()
    ids = {piece: tokenizer.encode(piece).ids for piece in TABLE.pieces}
    reported = expected_tokens(tokenizer, {"Python": 1})
    assert set(reported) == {i for found in ids.values() for i in found}
    assert list(reported.values()) == sorted(reported.values(), reverse=True)
    assert next(iter(reported)) == ids["="][0]
    assert all(reported[i] >= 0.799 for i in ids["def"])
    assert all(reported[i] == 0 for i in ids["é\n"])


def test_the_table_that_comes_along_knows_languages_apart():
    table = read_code_pieces()
    assert len(set(table.pieces)) == len(table.pieces) == len(table.shares)
    assert table.shares.min() >= 0 and table.shares.max() <= 1
    share = dict(zip(table.pieces, table.shares.astype(float), strict=True))
    python, java = table.languages.index("Python"), table.languages.index("Java")
    assert share[" def"][python] > 0.1 > share[" def"][java]
    assert share[" implements"][java] > 0.1 > share[" implements"][python]
    assert code_pieces.CODE_PIECES_FILE.stat().st_size < MOST_BYTES

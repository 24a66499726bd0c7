"""tokenizer.json from anywhere, read with bounds and with one kind of error.

The tokenizers library is written in Rust: what it refuses is a bare Exception, and a fault of its own (a "panic", as on
an empty pattern or a token id out of range) is no Exception at all and would end a server. Both become TokenizerError.

What it does not cover: a pattern that takes for ever over some text. Those of the formats that we read don't.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from contract.errors import first_line
from contract.files.untrusted_json import parse_json, read_bytes

MAX_TOKEN_ID = 1 << 24  # tables are made by the highest id
MAX_ADDED_CHARS = 512  # of one added token: what looks for them is built in the square of it, 5,000 take seconds
MAX_ALL_ADDED_CHARS = 1 << 17  # of all of them: each takes 150 bytes of memory; room for 10,000 of 13


class TokenizerError(ValueError):
    """The file is no tokenizer; the message is a few words, to be put into a sentence."""


def read_tokenizer_file(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json, without the truncation and padding that it may carry from its training.

    Raises TokenizerError.
    """
    try:
        text = read_bytes(path).decode("utf-8")
    except OSError as error:
        raise TokenizerError(error.strerror or str(error)) from error
    except ValueError as error:
        raise TokenizerError(str(error)) from error
    try:
        return _read(text)
    except TokenizerError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerError(first_line(error, 300)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of pyo3, which gives no name to import
            raise
        raise TokenizerError(f"it makes the tokenizers library fail: {first_line(error, 300)}") from error


def _read(text: str) -> Tokenizer:
    document = parse_json(text)
    added = document.get("added_tokens") if isinstance(document, dict) else None
    tokens = [token.get("content") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    lengths = [len(content) for content in tokens if isinstance(content, str)]
    if max(lengths, default=0) > MAX_ADDED_CHARS:
        raise TokenizerError(f"it has an added token of {max(lengths):,} characters")
    if sum(lengths) > MAX_ALL_ADDED_CHARS:
        raise TokenizerError(f"it has added tokens of {sum(lengths):,} characters")
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if highest > MAX_TOKEN_ID:
        raise TokenizerError(f"it has the token id {highest:,}")
    # Some faults show only at work.
    for probe in ("a", "def f(x):\n    return x + 1\n"):
        tokenizer.decode(tokenizer.encode(probe, add_special_tokens=False).ids, skip_special_tokens=False)
        tokenizer.encode(probe)
    return tokenizer

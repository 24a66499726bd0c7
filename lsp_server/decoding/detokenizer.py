"""Generated tokens to text: what may be shown of them, and which tokens never may."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from contract.tokenizer_file import TokenizerError, read_tokenizer_file
from lsp_server.serve_errors import ServeError

REPLACEMENT = "\ufffd"  # what decoding puts for bytes that are no whole character


def load_tokenizer(path: Path) -> Tokenizer:
    """Return the bundle's tokenizer, with every control token flagged as special, so that text never turns into one.

    All added tokens are control tokens, even unflagged ones such as Qwen's `<|fim_prefix|>`, except the runs of white
    space that some tokenizers add. Raises ServeError if the file is no tokenizer.
    """
    try:
        tokenizer = read_tokenizer_file(path)
    except TokenizerError as error:
        raise ServeError(f"{path} is no tokenizer ({error}); build the bundle again.") from error
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    tokenizer.add_special_tokens([content for content in added if not content.isspace()])
    return tokenizer


def control_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Return the ids of control tokens. An answer ends at the first one."""
    return frozenset(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special)


class Detokenizer:
    """The text of an answer as it grows."""

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._anchor = list(prompt_ids[-1:])
        self._anchor_length = len(self._decode([]))

    def text(self, token_ids: Sequence[int]) -> str:
        """Return the text of the tokens up to the first character that isn't whole."""
        return self._decode(token_ids)[self._anchor_length :].partition(REPLACEMENT)[0]

    def is_broken(self, token_ids: Sequence[int]) -> bool:
        """Return whether the tokens hold bytes that no further token can make whole."""
        return REPLACEMENT in self._decode(token_ids)[self._anchor_length :].rstrip(REPLACEMENT)

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode([*self._anchor, *token_ids], skip_special_tokens=False))

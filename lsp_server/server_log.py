"""The server's log on stderr: a line a message, free of what a terminal obeys, without the user's text."""

from __future__ import annotations

import logging
import sys
from typing import Any

from contract.plain_text import plain

_QUOTE_CLIENTS = ("pygls", "lsp_server.bounded_streams")  # loggers whose arguments clients have sent


class _PlainFormatter(logging.Formatter):
    """Messages are `plain`, and so is each line of a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return plain(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return "\n".join(plain(line) for line in super().formatException(ei).split("\n"))


def log_to_stderr() -> None:
    """Log what this process does on stderr, unless somebody has set the log up already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Below the level of errors, pygls logs the user's text and late cancellations; in errors, a message's parameters.
    logging.getLogger("pygls").setLevel(logging.ERROR)
    for root_handler in logging.getLogger().handlers:
        root_handler.addFilter(_without_text)


def _without_text(record: logging.LogRecord) -> bool:
    if record.name.startswith(_QUOTE_CLIENTS) and isinstance(record.args, tuple):
        record.args = tuple(one if isinstance(one, (int, float)) else str(one)[:80] for one in record.args)
    return True

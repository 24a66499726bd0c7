"""Names of files and what a stranger's files say may hold what a terminal takes for commands; here it is taken out.

It loads nothing, since the language server starts with it.
"""

from __future__ import annotations

import logging
import sys
from typing import Any


def plain(text: str) -> str:
    """The text in one line, with `?` for each character that a terminal obeys or does not show."""
    return "".join(one if one.isprintable() else " " if one in "\t\n" else "?" for one in text)


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

"""stderr for a display: once nobody can read it any more, what is written is dropped, and the work goes on."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from contract.null_device import put_null_device

# Of a pipe whose reader has ended (on Windows that may be EINVAL), and of a terminal whose window was closed.
UNREAD: Final = frozenset({errno.EPIPE, errno.EIO} | ({errno.EINVAL} if sys.platform == "win32" else set()))


class StandardError:
    """A file that is stderr. Other errors than those of `UNREAD` are raised as the file's.

    is_unread: whether a write has shown that nobody can read it any more.
    """

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.is_unread = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, text: str) -> int:
        """As the file's."""
        with self._silenced():
            self.file.write(text)
        return len(text)

    def flush(self) -> None:
        """As the file's."""
        with self._silenced():
            self.file.flush()

    @contextmanager
    def _silenced(self) -> Iterator[None]:
        """If nobody reads it, point its descriptor to the null device: Python writes the rest when the program ends."""
        try:
            yield
        except OSError as error:
            if error.errno not in UNREAD:
                raise
            self.is_unread = True
            put_null_device(self.file.fileno())

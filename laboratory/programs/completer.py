"""What benchmarks that run programs ask of a model: text after a prefix, or text between a prefix and a suffix.

This is no `scoring.Predictor`: its answers are single lines at the places where an editor would ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class ProgramRequest:
    """One request. The texts are whole: a completer shortens them to what its model can read, far ends first."""

    prefix: str
    suffix: str | None  # None: left to right, without fill-in-the-middle tokens even if the model knows them
    cut: Callable[[str], str]
    """Returns the beginning of an answer that counts.

    Once that is shorter than the answer, no further text changes it, so that a completer may end there. It need not:
    the benchmark cuts every answer itself.
    """
    max_new_tokens: int
    path: str = ""  # of the file, relative to its repository; "": it is none


class ProgramCompleter(Protocol):
    """A model that can be asked, whatever runs it."""

    name: str

    def complete(self, requests: Sequence[ProgramRequest], on_done: Callable[[int], None]) -> list[str]:
        """Return greedy answers in the order of the requests, without prompts; call on_done(n) after n further ones.

        An answer ends at a stop token, once its `cut` is shorter than the answer, or after `max_new_tokens`.
        """

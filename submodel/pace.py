"""Lets the program that started a command, such as an editor, pause it by the lines `wait` and `go` on stdin."""

from __future__ import annotations

import _thread
import io
import threading
from collections.abc import Callable, Iterable

from contract.standard_input import take_stdin

LOOK_S = 0.5  # until a command that stands still notices an interrupt


def paced_by_stdin() -> Pace:
    """Return a pace that the lines of stdin set; nothing else of this process can read it then."""
    return Pace(io.TextIOWrapper(take_stdin(), encoding="utf-8", errors="replace"))


class Pace:
    """Obeys the lines of a stream: `wait` and `go`; other lines change nothing.

    The stream's end interrupts the main thread, as Ctrl-C does: the program that began the command is gone.
    """

    def __init__(self, stream: Iterable[str], interrupt: Callable[[], None] = _thread.interrupt_main) -> None:
        self._stream, self._interrupt = stream, interrupt
        self._goes_on = threading.Event()
        self._goes_on.set()
        threading.Thread(target=self._read, name="pace", daemon=True).start()

    def rest(self) -> None:
        """Return at once, or once the command is to go on."""
        while not self._goes_on.wait(LOOK_S):
            pass

    def _read(self) -> None:
        for line in self._stream:
            if line.strip() == "wait":
                self._goes_on.clear()
            elif line.strip() == "go":
                self._goes_on.set()
        self._goes_on.set()
        self._interrupt()

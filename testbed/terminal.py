"""A program in a terminal of its own: keys go in, and the screen is read. tmux is the terminal."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from contract.children import find_program

TMUX = find_program("tmux")
PATIENCE_S = 300  # on a busy machine
COLUMNS = 100
FIRST_PAUSE_S, LONGEST_PAUSE_S = 3.0, 30.0  # before keys are pressed again; each pause is twice the one before


class Terminal:
    """A terminal with one program. Keys are named as tmux names them ("Enter", "C-x"); other text is typed as it is."""

    def __init__(self, socket: Path, environment: Mapping[str, str]) -> None:
        self._socket = socket
        self._environment = environment

    def tmux(self, *arguments: str) -> str:
        """Return what this command of tmux prints."""
        command = [str(TMUX), "-S", str(self._socket), "-f", "/dev/null", *arguments]
        done = subprocess.run(command, env=self._environment, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    def send(self, *keys: str) -> None:
        """Press these keys."""
        for key in keys:
            self.tmux("send-keys", key)
            if key == "Escape":
                time.sleep(0.3)  # else it is one key with the next

    def screen(self, *, colours: bool = False) -> str:
        """Return the screen's lines; on request in their whole width, with the escape sequences of colours."""
        return self.tmux("capture-pane", "-p", *(["-e", "-N"] if colours else []))

    def wait_for(self, wanted: str, *, ask: Sequence[str] = ()) -> None:
        """Wait until the screen shows a text. The keys `ask` are pressed at once, and again after longer and longer.

        Keys that come while the menu of an answer opens may move to its next entry: on a busy machine they must be few.

        Raises AssertionError with the screen if it never does.
        """
        now = ask_at = time.monotonic()
        end, pause_s = now + PATIENCE_S, FIRST_PAUSE_S
        while now < end:
            if ask and now >= ask_at:
                self.send(*ask)
                ask_at = time.monotonic() + pause_s
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            time.sleep(0.1)
            if wanted in self.screen():
                return
            now = time.monotonic()
        raise AssertionError(f"{wanted!r} never was on this screen:\n{self.screen()}")

    def settle(self) -> str:
        """Return the screen once it has not changed for two seconds; after ten at the latest."""
        screen, quiet = self.screen(), 0
        for _ in range(50):
            time.sleep(0.2)
            before, screen = screen, self.screen()
            quiet = quiet + 1 if screen == before else 0
            if quiet == 10:
                break
        return screen

    def has_ended(self) -> bool:
        """Return whether the program has ended."""
        return self.tmux("list-panes", "-F", "#{pane_dead}").strip() == "1"

    def wait_for_end(self) -> None:
        """Wait until the program has ended; raise AssertionError with the screen if it never does."""
        for _ in range(300):
            if self.has_ended():
                return
            time.sleep(0.1)
        raise AssertionError(f"The program did not end:\n{self.screen()}")


@contextmanager
def open_terminal(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], lines: int = 12
) -> Iterator[Terminal]:
    """Start a command in `folder`. It is ended afterwards, and the terminal with it."""
    with tempfile.TemporaryDirectory() as scratch:  # the path of a socket has at most 107 characters
        terminal = Terminal(Path(scratch) / "tmux", environment)
        size = ["-x", str(COLUMNS), "-y", str(lines)]
        keep = ["set-option", "-g", "remain-on-exit", "on", ";", "set-option", "-g", "status", "off", ";"]
        terminal.tmux(*keep, "new-session", "-d", *size, "-c", str(folder), *command)
        try:
            yield terminal
        finally:
            terminal.tmux("kill-server")

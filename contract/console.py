"""What people see while they wait: on stderr, so that stdout stays the answer's.

Names of files and what a stranger's files say may hold what a terminal takes for commands; `plain` takes it out.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text


def plain(text: str) -> str:
    """The text in one line, with `?` for each character that a terminal obeys or does not show."""
    return "".join(one if one.isprintable() else " " if one in "\t\n" else "?" for one in text)


class PlainConsole(Console):
    """A console whose texts and cells are `plain`, line by line; its own colours and bars stay."""

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich's, which every string goes through that is printed or stands in a table."""
        return super().render_str("\n".join(plain(line) for line in text.split("\n")), **options)


console = PlainConsole(stderr=True)

Advance = Callable[[int, int], None]

TICK_S: Final = 1.0  # how often a display without bars looks whether a line is due
QUIET_S: Final = 14.0  # after so much silence it is: with a tick, nobody waits longer than 15 seconds


def print_json(document: object) -> None:
    """One JSON document on stdout, and nothing else."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(table: Table, to: Console = console) -> None:
    """Print a table whose words stay whole where the width allows it; elsewhere they fold, the names in front last.

    Nothing is cut. rich by itself shortens a long word, such as a model's name, to make room for a long text beside it.
    """
    sizes = [
        [Measurement.get(to, to.options, cell) for cell in (column.header, *column.cells)] for column in table.columns
    ]
    least = [max(size.minimum for size in column) for column in sizes]  # the longest word
    room = to.width - sum(least) - 3 * len(least) - 1  # each column's padding and border
    for column, width, size in zip(table.columns, least, sizes, strict=True):
        column.overflow = "fold"
        if room >= 0:
            more = min(room, max(one.maximum for one in size) - width)
            column.width, room = width + more, room - more
    if room < 0:
        table.columns[0].width = min(least[0], to.width // 3)
    to.print(table)


class StageDisplay:
    """One line a stage: a bar with the time left on a terminal; elsewhere plain lines, at least every 15 seconds.

    clock: seconds that only grow.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._has_bars = console.is_terminal and not console.is_dumb_terminal
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self._has_bars,
        )
        self._stages: list[_RunningStage] = []  # the innermost last
        self._printed_s = clock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="stage display", daemon=True)

    def __enter__(self) -> StageDisplay:
        self._progress.start()
        if not self._has_bars:
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._ticker.is_alive():
            self._ticker.join()
        self._progress.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[Advance]:
        """Show a stage; the block gets a function that takes (done, total), and again from 0 for its next part."""
        task = self._progress.add_task(name, total=None)
        stage = _RunningStage(name, self._clock())
        self._stages.append(stage)

        def advance(done: int, total: int) -> None:
            if stage.advance(done, total, self._clock()):
                self._progress.update(task, completed=done, total=total)
            else:
                self._progress.reset(task, completed=done, total=total)

        try:
            yield advance
        finally:
            self._stages.remove(stage)
        total = self._progress.tasks[task].total or 1
        self._progress.update(task, completed=total, total=total)
        if not self._has_bars:
            self._print(f"{name}: {self._clock() - stage.started_s:.1f} s")

    def say(self, text: str) -> None:
        """A sentence above the bars."""
        self._printed_s = self._clock()
        self._progress.console.print(text, highlight=False, markup=False)

    def print_if_due(self) -> None:
        """Print how far the stage is if nothing was printed for a while; every tick where there are no bars."""
        now = self._clock()
        if self._stages and now - self._printed_s >= QUIET_S:
            self._print(self._stages[-1].line(now))

    def _tick(self) -> None:
        while not self._ended.wait(TICK_S):
            self.print_if_due()

    def _print(self, line: str) -> None:
        self._printed_s = self._clock()
        console.print(line, highlight=False, markup=False, soft_wrap=True)


class _RunningStage:
    """How far a stage is. The time left follows from its reports alone: what came before the first is no measure."""

    def __init__(self, name: str, started_s: float) -> None:
        self.name = name
        self.started_s = started_s
        self._first: tuple[int, float] | None = None  # of this part: (done, when)
        self._last: tuple[int, float] = (0, started_s)
        self._total = 0

    def advance(self, done: int, total: int, now_s: float) -> bool:
        """Take a report; whether it goes on with the same part of the stage."""
        is_same = self._first is None or (total == self._total and done >= self._last[0])
        if self._first is None or not is_same:
            self._first = (done, now_s)
        self._last, self._total = (done, now_s), total
        return is_same

    def line(self, now_s: float) -> str:
        """Plain text; vscode-extension/src/build/progress.ts reads it."""
        spent = _duration(now_s - self.started_s)
        if self._total <= 0:
            return f"{self.name}: {spent} so far"
        left_s = self._left_s(now_s)
        left = "" if left_s is None else f", about {_duration(left_s)} left"
        return f"{self.name}: {100 * self._last[0] // self._total} % after {spent}{left}"

    def _left_s(self, now_s: float) -> float | None:
        """None before the second report, and where the last one's estimate has run out."""
        if self._first is None or self._last[0] <= self._first[0]:
            return None
        (first, first_s), (last, last_s) = self._first, self._last
        left_s = (last_s - first_s) / (last - first) * (self._total - last) - (now_s - last_s)
        return left_s if left_s > 0 else None


def _duration(seconds: float) -> str:
    """In seconds up to a minute, then in minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

"""What people see while they wait: on stderr, so that stdout stays the answer's.

Names of files and what a stranger's files say may hold what a terminal takes for commands; `plain` takes it out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
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


def print_json(document: object) -> None:
    """One JSON document on stdout, and nothing else."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


class StageDisplay:
    """One line a stage: a bar with the time left on a terminal, a plain line at its end elsewhere."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> StageDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[Advance]:
        """Show a stage; the block gets a function that takes (done, total)."""
        started = time.perf_counter()
        task = self._progress.add_task(name, total=None)

        def advance(done: int, total: int) -> None:
            self._progress.update(task, completed=done, total=total)

        yield advance
        total = self._progress.tasks[task].total or 1
        self._progress.update(task, completed=total, total=total)
        if not console.is_terminal:
            console.print(f"{name}: {time.perf_counter() - started:.1f} s", highlight=False)

    def say(self, text: str) -> None:
        """A sentence above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)

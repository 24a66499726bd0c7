"""What people see while they wait: on stderr, so that stdout stays the answer's.

Names of files and what a stranger's files say may hold what a terminal takes for commands; it is printed `plain`.
"""

from __future__ import annotations

import _thread
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal

from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contract.documents import BuildProgress
from contract.plain_text import plain
from contract.progress import OnProgress
from contract.standard_input import put_null_device
from submodel.forecast import Forecast


class PlainConsole(Console):
    """A console whose texts and cells are `plain`, line by line; its own colours and bars stay.

    Once nobody reads stderr any more, the work goes on. rich would end the process, and the answer on stdout with it.
    """

    def on_broken_pipe(self) -> None:
        """Send to the null device what is written from now on."""
        put_null_device(2)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich's, which every string goes through that is printed or stands in a table."""
        return super().render_str("\n".join(plain(line) for line in text.split("\n")), **options)


console = PlainConsole(stderr=True)

TICK_S: Final = 1.0  # how often a display looks whether something is due
QUIET_S: Final = 14.0  # silence after which a line is due; with a tick, nobody waits longer than 15 seconds


def print_json(document: object) -> None:
    """One JSON document on stdout, and nothing else. It is ASCII: texts of a stranger can't steer a terminal."""
    json.dump(document, sys.stdout, indent=2)
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
    """What people see of stages: bars with the time left on a terminal; elsewhere a plain line at least every 15 s.

    as_json: write a `BuildProgress` a line in their place, at least one a second. Once nobody can read stderr any more,
    the main thread is interrupted, as by Ctrl-C: the program that asked for these lines is gone. clock: seconds that
    only grow.
    """

    def __init__(self, *, as_json: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_json = as_json
        # rich takes FORCE_COLOR for a terminal, but a log can't take a line back.
        is_terminal = console.is_terminal and console.file.isatty() and not console.is_dumb_terminal
        self.has_bars = not self._is_json and is_terminal
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            _WaitingBar(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self.has_bars,
        )
        self._stages: list[_RunningStage] = []  # the innermost last
        self._forecast: Forecast | None = None
        self._is_told = False
        self._waiting: dict[str, TaskID] = {}  # bars of stages that have not begun
        self._whole: TaskID | None = None  # the bar of all stages together
        self._started_s = self._printed_s = clock()
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="stage display", daemon=True)

    def __enter__(self) -> StageDisplay:
        self._progress.start()
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._ticker.is_alive():
            self._ticker.join()
        if self._whole is not None:
            self._progress.update(self._whole, visible=False)
        self._progress.stop()

    def expect(self, stages: Mapping[str, float]) -> None:
        """Show how long the whole takes from now on. stages: seconds that each is expected to take, in order.

        A sentence says it when the first stage begins: those that are kept take no time.
        """
        self._forecast, self._is_told = Forecast(stages), False
        if self.has_bars:
            self._waiting = {name: self._progress.add_task(name, total=None, start=False) for name in stages}
            self._whole = self._progress.add_task("all stages", total=None)

    @contextmanager
    def stage(self, name: str) -> Iterator[OnProgress]:
        """Show a stage; the block gets a function that takes (done, total), and again from 0 for its next part.

        A total of 0 says that nothing is known of it yet.
        """
        if self._forecast is not None and name in self._forecast.expected and not self._is_told:
            self._is_told = True
            self.say(f"The whole takes about {duration(self._forecast.left_s())}.")
        task = self._waiting.pop(name, None)
        if task is None:
            task = self._progress.add_task(name, total=None)
        else:
            self._progress.start_task(task)
        stage = _RunningStage(name, self._clock())
        self._stages.append(stage)
        if self._is_json:
            self._write_stage(stage, "running")

        def advance(done: int, total: int) -> None:
            if stage.advance(done, total, self._clock()):
                self._progress.update(task, completed=done, total=total or None)
            else:
                self._progress.reset(task, completed=done, total=total or None)

        try:
            yield advance
        finally:
            self._stages.remove(stage)
        total = self._progress.tasks[self._progress.task_ids.index(task)].total or 1
        self._progress.update(task, completed=total, total=total)
        seconds = self._clock() - stage.started_s
        if self._forecast is not None:
            self._forecast.end(name, seconds)
        if self._is_json:
            self._write_stage(stage, "finished")
        elif not self.has_bars:
            self._print(f"{name}: {seconds:.1f} s")

    def keep(self, name: str) -> None:
        """Say that a stage does not run, since an earlier run's result holds."""
        if self._forecast is not None:
            self._forecast.end(name, 0.0)
        if name in self._waiting:
            self._progress.update(self._waiting.pop(name), visible=False)
        if self._is_json:
            self._write({"kind": "stage", "stage": name, "state": "kept"})
        else:
            self.say(f"{name}: kept from an earlier run")

    def say(self, text: str) -> None:
        """A sentence above the bars."""
        self._printed_s = self._clock()
        if self._is_json:
            self._write({"kind": "message", "text": "\n".join(plain(line) for line in text.split("\n"))})
        else:
            self._progress.console.print(text, highlight=False, markup=False)

    def print_if_due(self) -> None:
        """Print how far the stage is if nothing was printed for a while; every tick where there are no bars."""
        now = self._clock()
        if self._stages and now - self._printed_s >= QUIET_S:
            stage = self._stages[-1]
            left_s = self._whole_left_s(stage, now)
            whole = "" if left_s is None else f"; about {duration(left_s)} left in all"
            self._print(stage.line(now) + whole)

    def _tick(self) -> None:
        while not self._ended.wait(TICK_S):
            stage = self._stages[-1] if self._stages else None
            if self.has_bars:
                self._show_whole(stage)
            elif self._is_json and stage is not None:
                self._write_stage(stage, "running")
            elif not self._is_json:
                self.print_if_due()

    def _show_whole(self, stage: _RunningStage | None) -> None:
        """Move the bar of all stages: seconds done, of the seconds that it takes by the forecast."""
        now = self._clock()
        left_s = self._whole_left_s(stage, now)
        if self._whole is not None and left_s is not None:
            done = now - self._started_s
            self._progress.update(self._whole, completed=done, total=done + left_s)

    def _whole_left_s(self, stage: _RunningStage | None, now_s: float) -> float | None:
        if self._forecast is None:
            return None
        if stage is None:
            return self._forecast.left_s()
        return self._forecast.left_s(stage.name, now_s - stage.started_s, stage.left_s(now_s))

    def _write_stage(self, stage: _RunningStage, state: Literal["running", "finished"]) -> None:
        now = self._clock()
        document: BuildProgress = {
            "kind": "stage",
            "stage": stage.name,
            "state": state,
            "seconds": round(now - stage.started_s, 1),
        }
        is_running = state == "running"
        if is_running and (share := stage.share) is not None:
            document["share"] = round(share, 3)
        if is_running and (left_s := stage.left_s(now)) is not None:
            document["seconds_left"] = round(left_s, 1)
        whole_s = self._whole_left_s(stage if is_running else None, now)
        if whole_s is not None:
            spent_s = now - self._started_s
            document["total_seconds"] = round(spent_s, 1)
            document["total_seconds_left"] = round(whole_s, 1)
            document["total_share"] = round(spent_s / max(spent_s + whole_s, 1e-9), 3)
        self._write(document)

    def _write(self, document: BuildProgress) -> None:
        with self._writing:
            try:
                console.file.write(json.dumps(document) + "\n")
                console.file.flush()
            except BrokenPipeError:
                console.on_broken_pipe()
                _thread.interrupt_main()

    def _print(self, line: str) -> None:
        self._printed_s = self._clock()
        console.print(line, highlight=False, markup=False, soft_wrap=True)


class _WaitingBar(BarColumn):
    """A bar that is empty until its stage begins; rich's own one pulses."""

    def render(self, task: Task) -> ProgressBar:
        """As rich's for a stage that has begun."""
        return super().render(task) if task.started else ProgressBar(total=1, completed=0, width=self.bar_width)


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
        if not is_same or done > self._last[0]:  # the same number again is no news
            self._last = done, now_s
        self._total = total
        return is_same

    def line(self, now_s: float) -> str:
        """Plain text, for people."""
        spent = duration(now_s - self.started_s)
        if self._total <= 0:
            return f"{self.name}: {spent} so far"
        left_s = self.left_s(now_s)
        left = "" if left_s is None else f", about {duration(left_s)} left"
        return f"{self.name}: {100 * self._last[0] // self._total} % after {spent}{left}"

    @property
    def share(self) -> float | None:
        """What is done of the stage, or of its present part, from 0 to 1; None before the first report."""
        return self._last[0] / self._total if self._total > 0 else None

    def left_s(self, now_s: float) -> float | None:
        """Seconds left of the stage; None before the second report, and if the last one's estimate has run out."""
        if self._first is None or self._last[0] <= self._first[0]:
            return None
        (first, first_s), (last, last_s) = self._first, self._last
        left_s = (last_s - first_s) / (last - first) * (self._total - last) - (now_s - last_s)
        return left_s if left_s > 0 else None


def duration(seconds: float) -> str:
    """In seconds up to a minute, then in minutes and seconds, and from three hours on in hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 180:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

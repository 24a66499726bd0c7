"""Whoever waits without a terminal is told where the work is, at least every 15 seconds."""

import io
import json
import subprocess
import sys
import time

import pytest
from msgspec import convert
from rich.console import Console

from contract.documents import BuildProgress
from submodel import console
from submodel.console import StageDisplay


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(console, "TICK_S", 3600)  # the tests say themselves when a tick is
    return Clock()


def pass_time(display, clock, seconds):
    for _ in range(seconds):
        clock.now_s += 1
        display.print_if_due()


def test_a_stage_that_reports_tells_its_share_and_the_time_left(clock, capsys):
    with StageDisplay(clock=clock) as display, display.stage("prune") as advance:
        pass_time(display, clock, 10)  # loading, which is no layer's time
        for layer in range(1, 11):
            pass_time(display, clock, 6)
            advance(layer, 24)
    assert capsys.readouterr().err.splitlines() == [
        "prune: 14 s so far",
        "prune: 8 % after 28 s, about 2 min 6 s left",
        "prune: 20 % after 42 s, about 1 min 52 s left",
        "prune: 29 % after 56 s, about 1 min 38 s left",
        "prune: 37 % after 1 min 10 s, about 1 min 24 s left",
        "prune: 70.0 s",
    ]


def test_no_silence_is_longer_than_15_seconds(clock, capsys):
    with StageDisplay(clock=clock) as display, display.stage("export"):
        silence = 0
        for _ in range(300):
            pass_time(display, clock, 1)
            silence = 0 if capsys.readouterr().err else silence + 1
            assert silence < 15


def test_what_was_said_a_moment_ago_is_enough(clock, capsys):
    with StageDisplay(clock=clock) as display, display.stage("export"):
        pass_time(display, clock, 10)
        display.say("Checking the graph in fp32")
        pass_time(display, clock, 13)
        assert capsys.readouterr().err == "Checking the graph in fp32\n"
        pass_time(display, clock, 1)
        assert capsys.readouterr().err == "export: 24 s so far\n"


def test_a_part_that_begins_anew_is_measured_by_itself(clock, capsys):
    with StageDisplay(clock=clock) as display, display.stage("export") as advance:
        for done in range(11):
            advance(done, 10)
            pass_time(display, clock, 1)
        capsys.readouterr()
        advance(0, 100)  # slower, and more of it
        pass_time(display, clock, 10)
        advance(1, 100)
        pass_time(display, clock, 10)
        assert capsys.readouterr().err.endswith("export: 1 % after 28 s, about 16 min 23 s left\n")


def test_nothing_is_promised_once_an_estimate_has_run_out(clock, capsys):
    with StageDisplay(clock=clock) as display, display.stage("score") as advance:
        for done in range(10):
            advance(done, 10)
            clock.now_s += 1
        pass_time(display, clock, 20)
        assert capsys.readouterr().err.splitlines()[-1] == "score: 90 % after 28 s"


def test_a_stage_that_failed_is_reported_of_no_more(clock, capsys):
    with StageDisplay(clock=clock) as display:
        with pytest.raises(ValueError, match="no"), display.stage("prune"):
            raise ValueError("no")
        pass_time(display, clock, 30)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_log_has_lines_whatever_colours_are_forced(monkeypatch, variable):
    log = Console(file=io.StringIO(), _environ={variable: "1"})
    monkeypatch.setattr(console, "console", log)
    assert log.is_terminal
    assert not StageDisplay().has_bars


def test_a_bar_goes_on_with_the_next_part(monkeypatch):
    written = Terminal()
    terminal = Console(file=written, force_terminal=True, width=80, _environ={})
    monkeypatch.setattr(console, "console", terminal)
    with StageDisplay() as display, display.stage("export") as advance:
        advance(32, 32)
        advance(1, 32)
        (task,) = display._progress.tasks
        assert (task.completed, task.finished) == (1, False)
    assert "so far" not in written.getvalue()


def test_the_lines_come_by_themselves(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=written, _environ={}))
    monkeypatch.setattr(console, "TICK_S", 0.001)
    clock, reported = Clock(), ""
    with StageDisplay(clock=clock) as display, display.stage("prune"):
        clock.now_s += 15
        until = time.monotonic() + 30
        while not reported and time.monotonic() < until:
            reported = written.getvalue()
            time.sleep(0.001)
    assert reported == "prune: 15 s so far\n"


def documents(text):
    """Each line as the document that it is."""
    return [convert(json.loads(line), BuildProgress) for line in text.splitlines()]


def test_json_is_one_document_a_line(clock, capsys):
    with StageDisplay(as_json=True, clock=clock) as display:
        display.expect({"prune": 40.0, "finetune": 60.0})
        with display.stage("prune") as advance:
            for layer in range(5):
                advance(layer, 20)
                clock.now_s += 2
        display.keep("finetune")
        display.say("two\nlines\x1b[2J")
    reported, begun, ended, kept, said = documents(capsys.readouterr().err)
    assert reported == {"kind": "message", "text": "The whole takes about 1 min 40 s."}
    whole = {"total_seconds": 0.0, "total_seconds_left": 100.0, "total_share": 0.0}
    assert begun == {"kind": "stage", "stage": "prune", "state": "running", "seconds": 0.0, **whole}
    assert (ended["state"], ended["seconds"], ended["total_seconds"]) == ("finished", 10.0, 10.0)
    assert kept == {"kind": "stage", "stage": "finetune", "state": "kept"}
    assert said == {"kind": "message", "text": "two\nlines?[2J"}


def test_json_tells_of_a_running_stage_by_itself(monkeypatch, clock, capsys):
    monkeypatch.setattr(console, "TICK_S", 0.001)
    reported = ""
    with StageDisplay(as_json=True, clock=clock) as display, display.stage("prune") as advance:
        advance(0, 8)
        clock.now_s += 4
        advance(2, 8)
        until = time.monotonic() + 30
        while '"share": 0.25' not in reported and time.monotonic() < until:
            reported += capsys.readouterr().err
            time.sleep(0.001)
    running = documents(reported)[-1]
    assert (running["share"], running["seconds_left"]) == (0.25, 12.0)
    assert "total_seconds_left" not in running, "nothing was expected"


def test_lines_tell_what_is_left_in_all(clock, capsys):
    with StageDisplay(clock=clock) as display:
        display.expect({"prune": 20.0, "export": 100.0})
        with display.stage("prune") as advance:
            for layer in range(3):
                advance(layer, 10)
                pass_time(display, clock, 10)
    assert capsys.readouterr().err.splitlines()[:3] == [
        "The whole takes about 2 min 0 s.",
        "prune: 10 % after 14 s, about 1 min 26 s left; about 6 min 19 s left in all",
        "prune: 20 % after 28 s, about 1 min 12 s left; about 7 min 12 s left in all",
    ]


def test_nothing_is_said_of_the_whole_where_all_stages_are_kept(clock, capsys):
    with StageDisplay(clock=clock) as display:
        display.expect({"prune": 20.0, "export": 100.0})
        display.keep("prune")
        display.keep("export")
        with display.stage("score the baselines"):
            pass
    assert "The whole takes" not in capsys.readouterr().err


def test_the_same_number_again_is_no_news_of_the_time_that_is_left(clock, capsys):
    """A step of training reports after each layer."""
    with StageDisplay(clock=clock) as display, display.stage("finetune") as advance:
        for step in range(3):
            for _ in range(5):
                advance(step, 10)
                clock.now_s += 2
        pass_time(display, clock, 6)
    assert "about 1 min 9 s left" in capsys.readouterr().err, "eight steps of ten seconds, less 11 s"


def test_bars_of_all_stages_wait_below_and_end_with_the_whole(monkeypatch):
    written = Terminal()
    terminal = Console(file=written, force_terminal=True, width=80, _environ={})
    monkeypatch.setattr(console, "console", terminal)
    with StageDisplay() as display:
        display.expect({"prune": 20.0, "export": 100.0})
        with display.stage("prune") as advance:
            advance(1, 2)
            display._progress.refresh()
            waiting = [(task.description, task.started) for task in display._progress.tasks]
    assert waiting == [("prune", True), ("export", False), ("all stages", True)]
    shown = written.getvalue()
    assert all(name in shown for name in ("prune", "export", "all stages"))


@pytest.mark.parametrize(
    ("seconds", "words"), [(59.4, "59 s"), (61, "1 min 1 s"), (10_799, "179 min 59 s"), (40_000, "11 h 6 min")]
)
def test_times_are_worded_by_their_length(seconds, words):
    assert console.duration(seconds) == words


# A build that says nothing itself (the display's lines come by themselves), one that says something, and one in JSON.
BUILD = """
import json, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what runs in its background ignore it
from submodel import console
console.TICK_S, console.QUIET_S = 0.05, 0.0 if sys.argv[1] == "quiet" else 99.0
with console.StageDisplay(as_json=sys.argv[1] == "json") as display:
    display.say("begun")
    sys.stdin.readline()
    with display.stage("prune"):
        time.sleep(30 if sys.argv[1] == "json" else 0.3)
        if sys.argv[1] == "say":
            display.say("half of it")
    with display.stage("export"):
        pass
console.print_json({"answer": 42})
"""


def without_reader(said):
    """The exit code and stdout of a build whose stderr is closed once it has begun."""
    words, pipe = [sys.executable, "-c", BUILD, said], subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin and process.stdout and process.stderr
        assert "begun" in process.stderr.readline()
        process.stderr.close()
        process.stdin.write("go on\n")
        process.stdin.close()
        printed = process.stdout.read()
    return process.returncode, printed


@pytest.mark.parametrize("said", ["quiet", "say"])
def test_a_build_whose_messages_nobody_reads_any_more_ends_whole(said):
    """As in `submodel build --json 2> >(head -1)`."""
    code, printed = without_reader(said)
    assert (code, json.loads(printed)) == (0, {"answer": 42})


def test_a_build_ends_with_the_program_that_reads_its_progress():
    """As an editor that was killed: nobody could stop what would keep its machine busy."""
    code, printed = without_reader("json")
    assert code != 0 and printed == ""

"""How other programs are started, where the current folder may be a stranger's repository, and ended.

A program is found in the absolute folders of PATH alone, and is given by its absolute path. `shutil.which` and Windows
itself look into the current folder first, where a clone may have put a `git.exe`. An entry of PATH or PYTHONPATH that
is empty or relative names a folder of the repository, too.

What it does not cover: an absolute entry that leads into the repository, as an activated environment's does.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    import psutil

# What Windows can start without a shell. npm is `npm.cmd` there, beside a shell script named `npm`.
_ENDINGS: tuple[str, ...] = (".com", ".exe", ".bat", ".cmd") if sys.platform == "win32" else ("",)
_PLAIN = re.compile(r"[A-Za-z0-9_.:/\\-]+")
_UNQUOTABLE = re.compile(r"[\x00-\x1f&|<>^%\"$`“”„]")  # the last three are quotes to PowerShell


def python_module(name: str) -> tuple[str, ...]:
    """Return the command that runs a module of ours, or pip."""
    return sys.executable, "-P", "-m", name  # -P: no json.py of the folder that it starts in is imported


def shell_line(words: Sequence[str]) -> str:
    """Return a command as its user can paste it into a shell; on Windows into cmd and into PowerShell.

    There a word is left out as `...` if no quotes keep one of the two from reading something else in it.
    """
    return " ".join(map(_windows_word, words)) if sys.platform == "win32" else shlex.join(words)


def _windows_word(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word  # PowerShell takes a program's name in quotes for a text
    if _UNQUOTABLE.search(word):
        return "..."
    return f'"{word}{word[len(word.rstrip(chr(92))) :]}"'  # a backslash before the last quote would escape it


def find_program(name: str) -> str | None:
    """Return the absolute path of a program, or None; a `name` with a folder in it is looked up there, not in PATH."""
    is_path = any(mark in name for mark in (os.sep, os.altsep) if mark)
    folders = [Path.cwd()] if is_path else [Path(entry) for entry in _absolute(os.environ.get("PATH", os.defpath))]
    endings = ("",) if name.lower().endswith(tuple(filter(None, _ENDINGS))) else _ENDINGS
    for folder in folders:
        for ending in endings:
            path = folder / (name + ending)  # no link is resolved: a Python would leave its virtual environment
            if os.access(path, os.X_OK) and path.is_file():  # in this order: no error in a folder that is closed to us
                return str(path)
    return None


def child_environment() -> dict[str, str]:
    """Return this process's environment, so that a child looks for nothing in its current folder."""
    kept = dict(os.environ)
    for variable in ("PATH", "PYTHONPATH"):
        entries = _absolute(kept.pop(variable, ""))
        if entries:  # an empty PATH would be the current folder
            kept[variable] = os.pathsep.join(entries)
    return kept | {"NoDefaultCurrentDirectoryInExePath": "1"}  # Windows: for what the child itself starts


def _absolute(entries: str) -> list[str]:
    """The entries of a list such as PATH, without those that the current folder completes."""
    return [entry for entry in entries.split(os.pathsep) if PurePath(entry).is_absolute()]


def processes_below(pid: int) -> list[psutil.Process]:
    """Return what a process has started, and what that has; nothing if it has ended, or can't be looked at."""
    import psutil  # where it is needed: the server starts without it

    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:  # it has ended, or /proc is hidden
        return []


def kill_each(processes: Iterable[psutil.Process]) -> None:
    """Kill processes; those that have ended meanwhile are passed over."""
    import psutil

    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def kill_tree(process: subprocess.Popen[bytes] | BaseProcess) -> None:
    """Kill a process that was started from here, then what it has started, also in sessions of their own."""
    assert process.pid is not None
    below = processes_below(process.pid)
    process.kill()  # first: it would take the end of the others for a failure
    kill_each(below)

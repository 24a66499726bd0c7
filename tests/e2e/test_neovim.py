"""Neovim itself, set up as docs/editors.md says; where there is one on the path, or $NVIM_PROGRAM names one."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.bundle.bundle import Bundle
from lsp_server.completion import open_completer
from lsp_server.request import CompletionRequest

NVIM = os.environ.get("NVIM_PROGRAM") or shutil.which("nvim")
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "editors.md"
TEXT = "def greet(name):\n    return "

pytestmark = pytest.mark.skipif(NVIM is None, reason="Neovim is not here: make test-tools")


def documented_set_up() -> str:
    match = re.search(r"## Neovim 0\.10 .*?```lua\n(.*?)```", DOCUMENTATION.read_text("utf-8"), re.DOTALL)
    assert match is not None
    return match.group(1)


def make_command(folder: Path) -> None:
    """`submodel` as users have it on their path."""
    folder.mkdir()
    command = folder / "submodel"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m submodel "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)


def test_completes_through_the_editor_s_own_list(tiny_bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle.folder, tmp_path / ".submodel" / "bundle")
    make_command(tmp_path / "bin")
    (tmp_path / "init.lua").write_text(documented_set_up() + "\nvim.opt.completeopt = 'menu,menuone'\n")
    file, socket = tmp_path / "greet.txt", tmp_path / "socket"
    file.write_text(TEXT)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "XDG_STATE_HOME": str(tmp_path)}
    assert NVIM is not None
    # Its own terminal's size decides nothing here; -n: no swap file.
    command = [NVIM, "--headless", "-n", "-u", str(tmp_path / "init.lua"), "--listen", str(socket), str(file)]
    editor = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def remote(*arguments: str) -> str:
        done = subprocess.run([str(NVIM), "--server", str(socket), *arguments], env=environment, capture_output=True)
        return (done.stdout + done.stderr).decode().strip()

    def wait_for(expression: str, wanted: str) -> None:
        for _ in range(300):
            if socket.exists() and remote("--remote-expr", expression) == wanted:
                return
            time.sleep(0.1)
        raise AssertionError(f"{expression} never was {wanted}, but {remote('--remote-expr', expression)}")

    try:
        # Counted within Lua: a client's table can't be given to Vim once its server has told of progress.
        wait_for("luaeval('#vim.lsp.get_clients()')", "1")
        remote("--remote-send", "GA<C-x><C-o>")
        wait_for("pumvisible()", "1")
        remote("--remote-send", "<C-y><Esc>:wq<CR>")
        editor.wait(timeout=30)
    finally:
        editor.kill()
        editor.wait()
    request = CompletionRequest(text=TEXT, offset=len(TEXT))
    expected = open_completer(tiny_bundle.folder, threads=1).complete(request).text
    assert file.read_text().rstrip("\n") == TEXT + expected

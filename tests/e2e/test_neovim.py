"""Neovim itself, set up as docs/editors.md says; where there is one on the path, or $NVIM_PROGRAM names one."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from pathlib import Path

import pytest

from contract.bundle.bundle import Bundle
from lsp_server.completion import open_completer
from lsp_server.request import CompletionRequest
from tests.e2e.neovim import NVIM, open_neovim

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
    file = tmp_path / "greet.txt"
    file.write_text(TEXT)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "XDG_STATE_HOME": str(tmp_path)}
    with open_neovim(file, tmp_path / "init.lua", folder=Path.cwd(), environment=environment) as editor:
        # Counted within Lua: a client's table can't be given to Vim once its server has told of progress.
        editor.wait_for("luaeval('#vim.lsp.get_clients()')", "1")
        editor.remote("--remote-send", "GA<C-x><C-o>")
        editor.wait_for("pumvisible()", "1")
        editor.remote("--remote-send", "<C-y><Esc>:wq<CR>")
        editor.process.wait(timeout=30)
    request = CompletionRequest(text=TEXT, offset=len(TEXT))
    expected = open_completer(tiny_bundle.folder, threads=1).complete(request).text
    assert file.read_text().rstrip("\n") == TEXT + expected

"""Editors in a terminal, set up as docs/editors.md says: each shows the completer's answer and inserts it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contract.bundle.bundle import Bundle
from lsp_server.completion import open_completer
from lsp_server.options import UNHURRIED
from lsp_server.request import CompletionRequest
from testbed.editors import EDITORS, EditorProgram, editing, environment_with_submodel
from testbed.terminal import TMUX

# In a comment, so that what the random model says is not cut to what parses.
TYPED = "# say "
BEFORE, AFTER = f"def greet(name):\n    {TYPED}", "\n"


@pytest.mark.skipif(TMUX is None, reason="tmux is not here: make test-tools")
@pytest.mark.parametrize("editor", EDITORS, ids=lambda editor: editor.name)
def test_an_editor_shows_and_inserts_the_answer(editor: EditorProgram, tiny_bundle: Bundle, tmp_path: Path) -> None:
    if not editor.is_here:
        pytest.skip(f"{editor.name} is not here: make test-tools")
    workspace = tmp_path / "workspace"
    shutil.copytree(tiny_bundle.folder, workspace / ".submodel" / "bundle")
    file = workspace / "greet.py"
    file.write_text("def greet(name):\n    \n")
    request = CompletionRequest(
        text=BEFORE + AFTER, offset=len(BEFORE), path="greet.py", language_id="python", options=UNHURRIED
    )
    answer = open_completer(tiny_bundle.folder, threads=1).complete(request).text
    if editor.name == "vim-ale":  # as docs/editors.md says
        answer, bracket, _ = answer.partition("(")
        assert answer and bracket
    with editing(editor, file, tmp_path / "home", environment_with_submodel(tmp_path / "bin")) as terminal:
        terminal.wait_for("def greet")
        terminal.send(*editor.to_end(2), TYPED)
        terminal.wait_for(answer.strip(), ask=editor.ask)
        if editor.accept:
            terminal.send(*editor.accept)
        terminal.wait_for(TYPED + answer.strip())
        if editor.normal_mode:
            terminal.wait_for(editor.normal_mode, ask=("Escape",))  # twice if the list opens again
        terminal.send(*editor.save)
        terminal.wait_for_end()
    assert file.read_text() == BEFORE + answer + AFTER


@pytest.mark.skipif(TMUX is None, reason="tmux is not here: make test-tools")
def test_tab_in_neovim_still_jumps_in_a_snippet_and_indents(tmp_path: Path) -> None:
    editor = next(one for one in EDITORS if one.name == "neovim-0.12")
    if not editor.is_here:
        pytest.skip(f"{editor.name} is not here: make test-tools")
    file = tmp_path / "notes.txt"
    file.write_text("begin\n")
    with editing(editor, file, tmp_path / "home", environment_with_submodel(tmp_path / "bin")) as terminal:
        terminal.wait_for("begin")
        terminal.send("o", "Escape", ":lua vim.snippet.expand('for ${1:x} in ${2:y}:')", "Enter")
        terminal.wait_for("for x in y:")
        terminal.send("item", "Tab", "list", "Escape", "o", "a", "Tab", "b")
        terminal.send(*editor.save)
        terminal.wait_for_end()
    assert file.read_text() == "begin\nfor item in list:\na\tb\n"

"""Editors that run in a terminal, each set up with the lines of docs/editors.md and the keys that it is driven with."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from contract.children import find_program
from testbed.terminal import Terminal, open_terminal

DOCUMENTATION = Path(__file__).parents[1] / "docs" / "editors.md"
# What tests/e2e/install.sh takes from Debian's unstable, unpacked: versions that a stable system doesn't have.
UNSTABLE = Path(platformdirs.user_cache_dir("submodel")) / "tools" / "unstable"
# `submodel`, which gives an answer the time that it takes, however busy the machine is, and on battery, too. It shows
# all of it: a random model is sure of nothing. The documented lines name an eagerness, which sets the same.
PATIENT = """
from dataclasses import replace
from lsp_server.options import EAGERNESS, CareOptions, ThresholdOptions, TriggerOptions
EAGERNESS.update({word: replace(one, confidence=0, cold_ms=60_000) for word, one in EAGERNESS.items()})
CareOptions.__init__.__kwdefaults__.update(on_battery="full")
ThresholdOptions.__init__.__kwdefaults__.update(confidence=0)
TriggerOptions.__init__.__kwdefaults__.update(budget_ms=60_000, cold_ms=60_000)
from submodel.app import main
main()
"""
DOCUMENTED_PORT = 8012
RETYPE = ("BSpace", "Space")  # an editor that asks by itself does so again


@dataclass(frozen=True, kw_only=True)
class EditorProgram:
    """An editor: how it starts, and the keys of one completion.

    `command` starts it; `{set_up}` and `{file}` in it are paths.
    """

    name: str
    title: str  # of its section in docs/editors.md, the beginning
    language: str  # of the section's block of code
    command: Sequence[str]
    set_up: str  # where the lines go, below the home folder
    before: str = ""  # lines that stand before the documented ones
    environment: Mapping[str, str] = field(default_factory=dict)
    to_end: Callable[[int], Sequence[str]]  # the keys that lead to the end of a line (counted from 1), to type there
    ask: Sequence[str]
    accept: Sequence[str]
    save: Sequence[str]  # and leave
    normal_mode: str = ""  # what the screen shows once Escape is read, if a key that is read with it is another key
    needs: Sequence[Path] = ()  # files that it must have
    is_over_http: bool = False  # a plug-in that asks `submodel serve --http`, which it does not start

    @property
    def is_here(self) -> bool:
        """Whether this machine has it."""
        return find_program(self.command[0]) is not None and all(path.exists() for path in self.needs)


def documented_lines(title: str, language: str) -> str:
    """Return the block of code that a section of docs/editors.md says to paste."""
    match = re.search(
        rf"\n###? {re.escape(title)}.*?```{language}\n(.*?)```", DOCUMENTATION.read_text("utf-8"), re.DOTALL
    )
    assert match is not None, title
    return match[1]


@contextmanager
def editing(
    editor: EditorProgram,
    file: Path,
    home: Path,
    environment: Mapping[str, str],
    *,
    lines: int = 12,
    port: int = DOCUMENTED_PORT,
) -> Iterator[Terminal]:
    """Open a file in an editor that is set up in an empty home folder, in a terminal.

    `port` is the HTTP server's, if the editor needs one. Its token has to be where that home folder has it.
    """
    set_up = home / editor.set_up
    set_up.parent.mkdir(parents=True, exist_ok=True)
    lines_to_paste = documented_lines(editor.title, editor.language)
    text = editor.before + lines_to_paste.replace(f":{DOCUMENTED_PORT}/", f":{port}/")
    set_up.write_text(text, "utf-8")
    command = [part.format(set_up=set_up, file=file.name) for part in editor.command]
    terminal_facts = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
    whole = {**environment, **terminal_facts, "HOME": str(home), **editor.environment}
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        whole.pop(name, None)
    with open_terminal(command, folder=file.parent, environment=whole, lines=lines) as terminal:
        yield terminal


def environment_with_submodel(folder: Path) -> dict[str, str]:
    """Return this process's environment with `submodel` on the path, which is written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command, program = folder / "submodel", folder / "patient.py"
    program.write_text(PATIENT, "utf-8")
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    paths = os.pathsep.join(path for path in (str(Path.cwd()), os.environ.get("PYTHONPATH", "")) if path)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths}


def _in_vi(line: int) -> tuple[str, ...]:
    return (f"{line}GA",)


def _in_emacs(line: int) -> tuple[str, ...]:
    return ("M-g", "g", str(line), "Enter", "C-e")


QUIET_EMACS = "(setq make-backup-files nil create-lockfiles nil native-comp-jit-compilation nil)\n"
LSP_MODE = f"{QUIET_EMACS}(package-initialize)\n(setq lsp-auto-guess-root t lsp-warn-no-matched-clients nil)\n"
ELPA = Path("usr/share/emacs/site-lisp/elpa-src")
OLD_LSP_MODE = "/" / ELPA / "lsp-mode-9.0.0"
NEW_LSP_MODE = max((UNSTABLE / ELPA).glob("lsp-mode-*"), default=UNSTABLE / "lsp-mode")
NEW_NEOVIM = UNSTABLE / "usr" / "bin" / "nvim"

EDITORS = (
    EditorProgram(
        name="neovim-0.10",
        title="Neovim 0.10",
        language="lua",
        command=("nvim", "-n", "-u", "{set_up}", "{file}"),
        set_up="init.lua",
        to_end=_in_vi,
        ask=("C-x", "C-o"),
        accept=("C-y",),
        save=("Escape", ":wq", "Enter"),
    ),
    EditorProgram(
        name="neovim-0.12",
        title="Neovim 0.12",
        language="lua",
        command=(str(NEW_NEOVIM), "-n", "-u", "{set_up}", "{file}"),
        set_up="init.lua",
        environment={"VIMRUNTIME": str(UNSTABLE / "usr" / "share" / "nvim" / "runtime")},
        to_end=_in_vi,
        ask=RETYPE,
        accept=("Tab",),
        save=("Escape", ":wq", "Enter"),
    ),
    EditorProgram(
        name="emacs-eglot",
        title="Emacs 30, eglot",
        language="elisp",
        command=("emacs", "-nw", "-Q", "-l", "{set_up}", "{file}"),
        set_up="init.el",
        before=QUIET_EMACS,
        to_end=_in_emacs,
        ask=RETYPE,
        accept=("Tab",),
        save=("C-x", "C-s", "C-x", "C-c"),
    ),
    EditorProgram(
        name="emacs-lsp-mode-9",
        title="Emacs, lsp-mode",
        language="elisp",
        command=("emacs", "-nw", "-q", "-l", "{set_up}", "{file}"),
        set_up="init.el",
        before=LSP_MODE,
        to_end=_in_emacs,
        ask=("C-M-i",),
        accept=(),
        save=("C-x", "C-s", "C-x", "C-c"),
        needs=(OLD_LSP_MODE,),
    ),
    EditorProgram(
        name="emacs-lsp-mode-10",
        title="Emacs, lsp-mode",
        language="elisp",
        command=("emacs", "-nw", "-q", "-l", "{set_up}", "{file}"),
        set_up="init.el",
        before=f"{LSP_MODE}(add-to-list 'load-path \"{NEW_LSP_MODE}\")\n(require 'lsp-inline-completion)\n",
        to_end=_in_emacs,
        ask=RETYPE,
        accept=("Tab",),
        save=("C-x", "C-s", "C-x", "C-c"),
        needs=(NEW_LSP_MODE, OLD_LSP_MODE),  # what both depend on
    ),
    EditorProgram(
        name="helix",
        title="Helix",
        language="toml",
        command=("hx", "{file}"),
        set_up=".config/helix/languages.toml",
        to_end=lambda line: (f"{line}ggA",),
        ask=("C-x",),
        accept=("Tab", "Enter"),
        save=(":wq", "Enter"),
        normal_mode="NOR",
    ),
    EditorProgram(
        name="vim-ale",
        title="Vim, ALE",
        language="vim",
        command=("vim", "-n", "-u", "{set_up}", "{file}"),
        set_up="vimrc",
        before="set nocompatible\nfiletype plugin on\n",
        to_end=_in_vi,
        ask=("C-x", "C-o"),
        accept=("C-y",),
        save=("Escape", ":wq", "Enter"),
        needs=(Path("/usr/share/vim-ale"),),
    ),
)

# Plug-ins are in no package: $LLAMA_VIM and $MINUET_NVIM name their folders.
PLUG_INS = tuple(
    EditorProgram(
        name=title,
        title=title,
        language="lua",
        command=("nvim", "-n", "-u", "{set_up}", "{file}"),
        set_up="init.lua",
        before=f"vim.opt.rtp:append('{folder}')\n",
        to_end=_in_vi,
        ask=RETYPE,
        accept=("Tab",),
        save=("Escape", ":wq", "Enter"),
        needs=(Path(folder),),
        is_over_http=True,
    )
    for title, folder in (
        ("llama.vim", os.environ.get("LLAMA_VIM", "llama.vim")),
        ("minuet", os.environ.get("MINUET_NVIM", "minuet-ai.nvim")),
    )
)

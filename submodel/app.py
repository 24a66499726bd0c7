"""The command line: commands by name, errors to one sentence and an exit code.

Each command imports what it needs when it runs, so that `submodel serve` starts without what only `build` needs.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import SubmodelError, first_line
from contract.files.disk_errors import resource_problem
from contract.null_device import put_null_device
from contract.plain_text import plain
from submodel import __version__
from submodel.commands.bases import bases
from submodel.commands.bench import bench
from submodel.commands.build import build
from submodel.commands.compare import compare
from submodel.commands.complete import complete
from submodel.commands.doctor import doctor
from submodel.commands.eval import evaluate
from submodel.commands.export import export
from submodel.commands.fleet import fleet
from submodel.commands.pack import pack, unpack
from submodel.commands.prune import prune
from submodel.commands.publish import publish
from submodel.commands.pull import pull
from submodel.commands.replay import replay
from submodel.commands.serve import serve
from submodel.commands.sweep import sweep
from submodel.commands.trust import trust

INTERRUPTED = 130  # the exit code after Ctrl+C, as shells give it

app = typer.Typer(
    name="submodel",
    help="Make a small code completion model of your repository, and serve it to your editor, on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# `--help` shows the commands in these groups, in this order.
GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Every day": {
        "build": build,
        "serve": serve,
        "complete": complete,
        "bases": bases,
        "doctor": doctor,
    },
    "Share": {
        "pack": pack,
        "unpack": unpack,
        "publish": publish,
        "pull": pull,
        "fleet": fleet,
        "trust": trust,
        "export": export,
    },
    "Measure": {"eval": evaluate, "bench": bench, "replay": replay},
    "Study": {"prune": prune, "compare": compare, "sweep": sweep},
}
# What is said to a user who stopped a command. What is not named here starts from the beginning.
_CHANGED = "If a file has changed by then, it starts from the beginning"
AGAIN = {
    "build": f"; run it again with the same options to resume. {_CHANGED}",
    **dict.fromkeys(("fleet", "sweep"), "; run it again to resume"),
    "pull": "; files that were fetched whole are kept",
}
# `--force` would repeat what this run has finished. Before its first stage an older build still counts.
AGAIN_AFTER_FORCE = (
    "; to resume, run it again with the same options, but without --force (with it if nothing was pruned yet). "
    f"{_CHANGED}"
)
for group, commands in GROUPS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=group)(command)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"submodel {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run the command line; a SubmodelError is printed as it stands, and a lack of disk or memory is named.

    So is an upgrade while it ran. Anything else is a defect and keeps its trace.
    """
    try:
        _check_surroundings()
        _open_closed_streams()
        if os.environ.get("COLUMNS", "").strip("0") == "":
            os.environ.pop("COLUMNS", None)  # rich would print nothing at all in a terminal without columns
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it: a pipe on Windows is not UTF-8
        app()
    except SubmodelError as error:
        _tell(str(error))
        sys.exit(1)
    except Exception as error:
        sentence = resource_problem(error)
        if sentence is None and isinstance(error, ImportError):
            sentence = f"submodel was upgraded while this command ran, or is damaged ({first_line(error, 200)})"
        if sentence is None:
            raise
        _tell(f"{sentence}{_again() or '; run it again'}.")
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer's, in place of a KeyboardInterrupt
            _tell(f"stopped{_again()}.")
        raise


def _check_surroundings() -> None:
    """Raise SubmodelError where no command could work: without a current folder, or without a stdout."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise SubmodelError("The current folder was removed; change to another one.") from error
    if sys.stdout is None:  # `>&-`
        raise SubmodelError("The standard output is closed; leave it open, or send it to /dev/null.")


def _open_closed_streams() -> None:
    """Open the null device as stdin and stderr if these are closed (`<&-`, `2>&-`).

    Else the next file that is opened takes the number, and a library's warnings go into it.
    """
    if sys.stdin is None:
        put_null_device(0)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the whole run
    if sys.stderr is None:
        put_null_device(2)
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _again() -> str:
    command, *options = sys.argv[1:] or [""]
    return AGAIN_AFTER_FORCE if command == "build" and "--force" in options else AGAIN.get(command, "")


def _tell(sentence: str) -> None:
    typer.echo(f"submodel: {plain(sentence)}", err=True)

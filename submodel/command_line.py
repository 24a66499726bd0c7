"""What the programs share: commands by name and group, `--version`, errors to one sentence and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import SubmodelError, first_line
from contract.files.disk_errors import resource_problem
from contract.plain_text import plain
from contract.standard_input import put_null_device
from submodel import __version__

INTERRUPTED = 130  # the exit code after Ctrl+C, as shells give it


def make_app(program: str, purpose: str, groups: Mapping[str, Mapping[str, Callable[..., None]]]) -> typer.Typer:
    """Return a program of commands; `--help` shows them in these groups, in this order."""
    app = typer.Typer(
        name=program,
        help=purpose,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for group, commands in groups.items():
        for name, command in commands.items():
            app.command(name, rich_help_panel=group)(command)

    app.callback()(_options)
    return app


def _print_version(context: typer.Context, is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"{context.command.name} {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


def run(app: Callable[[], object], program: str, again: Callable[[Sequence[str]], str]) -> None:
    """Run a program's commands; a SubmodelError is printed as it stands, and a lack of disk or memory is named.

    So is an upgrade while it ran. Anything else is a defect and keeps its trace. again(words): what is said to a user
    who stopped the command of these words, such as "; run it again to resume".
    """
    words = sys.argv[1:] or [""]

    def tell(sentence: str) -> None:
        typer.echo(f"{program}: {plain(sentence)}", err=True)

    try:
        _check_surroundings()
        _open_closed_streams()
        if os.environ.get("COLUMNS", "").strip("0") == "":
            os.environ.pop("COLUMNS", None)  # rich would print nothing at all in a terminal without columns
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it: a pipe on Windows is not UTF-8
        app()
    except SubmodelError as error:
        tell(str(error))
        sys.exit(1)
    except Exception as error:
        sentence = resource_problem(error)
        if sentence is None and isinstance(error, ImportError):
            sentence = f"submodel was upgraded while this command ran, or is damaged ({first_line(error, 200)})"
        if sentence is None:
            raise
        tell(f"{sentence}{again(words) or '; run it again'}.")
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer's, in place of a KeyboardInterrupt
            tell(f"stopped{again(words)}.")
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

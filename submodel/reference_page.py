"""The page that documents the command line, made from the commands; a test holds docs/reference.md to it.

It reads the functions' own signatures, not typer's inner commands, whose shape changes from version to version.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo

# Named, not imported: `submodel` imports nothing of the optional packages.
_APPS: Final = {"submodel": "submodel.app", "submodel-lab": "laboratory.app", "submodel-fleet": "fleet.app"}
PROGRAMS: Final[dict[str, typer.Typer]] = {name: import_module(module).app for name, module in _APPS.items()}
_HEAD = """# Command reference

All commands of `submodel`, and of the optional `submodel-lab` and `submodel-fleet`, as `--help` shows them. With
`--json` a command prints one JSON document on stdout. All other messages go to stderr. For bad input a command prints
one sentence and exits with 1. For a missing or unknown option it prints the usage and exits with 2.
This page is generated: `python -m submodel.reference_page > docs/reference.md`.
"""


def render_reference() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_HEAD, *(line for program, app in PROGRAMS.items() for line in _commands(program, app))])


def _commands(program: str, app: typer.Typer) -> Iterator[str]:
    commands = {
        one.name or one.callback.__name__: one.callback for one in app.registered_commands if one.callback is not None
    }
    for name in sorted(commands):
        yield from _command(f"{program} {name}", commands[name])


def _command(name: str, function: Callable[..., Any]) -> Iterator[str]:
    hints = get_type_hints(function, include_extras=True)
    parameters = [(one, *get_args(hints[one.name])[:2]) for one in inspect.signature(function).parameters.values()]
    yield f"## `{name}`\n"
    yield f"{inspect.getdoc(function)}\n"
    yield "| argument or option | default | what it is |"
    yield "| --- | --- | --- |"
    for one, kind, info in parameters:
        names = _argument(one, info) if isinstance(info, ArgumentInfo) else _option(one, kind, info)
        yield f"| `{_cell(names)}` | {_default(one.default)} | {_cell(info.help or '')} |"
    yield ""


def _argument(one: inspect.Parameter, info: Any) -> str:
    metavar = info.metavar or one.name.upper()
    return metavar if one.default is inspect.Parameter.empty else f"[{metavar}]"


def _option(one: inspect.Parameter, kind: Any, info: Any) -> str:
    dashed = f"--{one.name.replace('_', '-')}"
    # The first name that Option() is given is its `default` here: with Annotated the default stands in the signature.
    names = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
    if kind is bool:
        return ", ".join(names or [dashed, dashed.replace("--", "--no-", 1)])
    names = names or [dashed]
    return f"{', '.join(names)} {info.metavar or _kind(kind)}"


def _kind(kind: Any) -> str:
    if get_origin(kind) is UnionType:
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is list:
        return f"{_kind(get_args(kind)[0])} …"
    if issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    return {int: "NUMBER", float: "NUMBER", str: "TEXT"}.get(kind, "PATH")


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or value is False or str(value) == ".":
        return ""
    if value is True:
        return "on"
    return f"`{getattr(value, 'value', value)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(render_reference(), end="")

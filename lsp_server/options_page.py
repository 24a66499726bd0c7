"""Writes the page that documents the options, from their classes. A test compares docs/options.md with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from lsp_server.options import Check, ServerOptions, is_of_study, wire_name

_HEAD = """# Options

What a client may send as `initializationOptions` and in `workspace/didChangeConfiguration`. A group is a nested
object: `{"threads": 4, "trigger": {"comments": false}}`. A bad value is reported to the user, and the default holds.
This page is generated: `python -m lsp_server.options_page > docs/options.md`.
"""


def render_options() -> str:
    """Return the whole page, in Markdown."""
    return "\n".join([_HEAD, *_table(ServerOptions(), "")]) + "\n"


def _table(options: Any, path: str) -> Iterator[str]:
    groups = []
    yield "| option | must be | default | what it does |"
    yield "| --- | --- | --- | --- |"
    for one in fields(options):
        if is_of_study(options, one.name):
            continue
        value = getattr(options, one.name)
        if is_dataclass(value):
            groups.append((wire_name(one.name), value))
            continue
        check: Check = one.metadata["check"]
        default = "–" if value is None else f"`{json.dumps(value)}`"
        yield f"| `{path}{wire_name(one.name)}` | {check.demand} | {default} | {one.metadata['why']} |"
    for name, group in groups:
        yield f"\n## `{name}`\n\n{type(group).__doc__}\n"
        yield from _table(group, f"{name}.")


if __name__ == "__main__":
    print(render_options(), end="")

"""`submodel doctor`: what works here, and what to do about the rest."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    folder: Annotated[Path, typer.Argument(metavar="REPO", help="The repository whose bundle is looked at.")] = Path(),
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither the model hub nor the index.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check what building and serving need here, and say what to do.

    The exit status is 1 if something that serving needs fails. Anything that only limits you is a warning. The network
    is asked only for a base model that is not on this disk yet.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from contract.plain_text import plain
    from submodel.console import print_json, print_table
    from submodel.health_checks import run_checks

    checks = run_checks(folder.absolute(), is_offline=offline)
    has_failed = any(check.status == "fail" for check in checks)
    if as_json:
        print_json({"ok": not has_failed, "checks": [asdict(check) for check in checks]})
    else:
        table = Table("check", "", "found, and what to do")
        styles = {"ok": "green", "warn": "yellow", "fail": "red"}
        for check in checks:
            style = styles[check.status]
            reported = "\n".join(escape(plain(text)) for text in (check.found, check.advice) if text)
            table.add_row(check.name, f"[{style}]{check.status}[/{style}]", reported)
        print_table(table, Console())
    if has_failed:
        raise typer.Exit(1)

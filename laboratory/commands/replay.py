"""`submodel-lab replay`: how many keystrokes the server saves, typed one by one by a user who knows what they want."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def replay(
    repository: Annotated[Path, typer.Argument(metavar="REPO", help="The repository. Default: this folder.")] = Path(),
    bundle: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The bundle to serve. Default: that of the repository.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Type what commits after this one added. Default: held-out files."),
    ] = None,
    passages: Annotated[int, typer.Option(min=1, help="Passages of one to six lines to type.")] = 30,
    pace: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="MS",
            help="A keystroke every MS milliseconds; later suggestions are ignored. Default: wait for each suggestion.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the passages.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Type code at the real server and count what it saves."""
    from laboratory.replay.figures import print_replay
    from laboratory.replay.replay_run import ReplaySettings, run_replay
    from submodel.console import StageDisplay, print_json

    settings = ReplaySettings(
        repository=repository,
        bundle=bundle,
        since=since,
        passages=passages,
        seed=seed,
        pace_ms=pace,
    )
    with StageDisplay() as display:
        document = run_replay(settings, display)
    print_replay(document)
    if as_json:
        print_json(document)

"""`submodel update`: the sub-model of a repository follows what changed since the last build or update."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from builder.evaluation.scores import is_worse
from builder.evaluation.wording import compared
from submodel.commands.build import PROGRESS_HELP, ProgressForm


def update(
    repository: Annotated[Path, typer.Argument(metavar="REPO", help="The repository. Default: this folder.")] = Path(),
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Default: .submodel in the repository.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="Minutes of fine-tuning on what changed, at most; 0 only renews the drafts.")
    ] = 2.0,
    positions: Annotated[
        int, typer.Option(min=0, help="Held-out lines, and as many new ones, to score on; 0 scores nothing.")
    ] = 30,
    progress: Annotated[ProgressForm, typer.Option(help=PROGRESS_HELP)] = ProgressForm.AUTO,
    paced: Annotated[
        bool,
        typer.Option(
            "--paced",
            help="For editors. The update reads stdin: a line `wait` pauses it, `go` resumes it, and the end of stdin "
            "stops it.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Fine-tune the sub-model on what changed since the last build or update.

    The new model is served if it is better on validation files; otherwise the old one stays.
    """
    from submodel.extras import prepare_to_build

    prepare_to_build("update")
    from contract.console import StageDisplay, console, print_json
    from submodel.awake import kept_awake
    from submodel.build.update_run import UpdateSettings, run_update
    from submodel.pace import paced_by_stdin

    settings = UpdateSettings(
        repository=repository,
        output=output or repository / ".submodel",
        minutes=minutes,
        positions=positions,
        is_paced=paced,
    )
    rest = paced_by_stdin().rest if paced else lambda: None
    awake = nullcontext() if paced else kept_awake()  # what an editor began waits for power and for its user
    with awake, StageDisplay(as_json=progress is ProgressForm.JSON, rest=rest) as display:
        document = run_update(settings, display)
    if progress is ProgressForm.JSON:
        for sentence in _reported(document):
            display.say(sentence)
    else:
        console.print(" ".join(_reported(document)), highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print_json(document)


def _reported(document: Mapping[str, Any]) -> list[str]:
    """Return the figures, a sentence each, and last which model is served and why."""
    row, before, since = document["models"][0], document.get("held_out_before"), document.get("since")
    reported = []
    if before:
        reported.append(
            f"Held-out files: {row['fim_exact_match']:.0%} of {row['positions']} lines exact (before "
            f"{before['fim_exact_match']:.0%}), {row['bits_per_byte']:.3f} bits per byte "
            f"({before['bits_per_byte']:.3f})."
        )
    if against := document.get("against_before"):
        worse = " That is significantly worse. docs/faq.md says how to go back to the model before."
        reported.append(f"Beside the model before: {compared(against)}.{worse if is_worse(against) else ''}")
    if since:
        reported.append(
            f"Of the lines written since, the old model completed {since['fim_exact_match']:.0%} of "
            f"{since['positions']} exactly."
        )
    return [*reported, _outcome(document)]


def _outcome(document: Mapping[str, Any]) -> str:
    took = f"This took {document['seconds']:.0f} s."
    if document["kept"] == "new":
        ends = [document[end][:10] for end in ("from_commit", "to_commit") if end in document]
        way = f" from {ends[0]} to {ends[1]}" if len(set(ends)) == 2 else ""
        return f"The model was updated{way}, and the new one is served. {took}"
    if document.get("finetuning", {}).get("kept_step", 0) > 0:
        return (
            "The old model is still served: the new one's graph failed the parity check. Update again after more "
            f"changes, or run `submodel build`. {took}"
        )
    if "finetuning" in document:
        files = document.get("files", {})
        untried = files.get("untried", 0)
        which = "validation files" if files.get("to_validate", 1) else "validation files, none of which has changed"
        again = f"to try the files that it did not reach ({untried})" if untried else "after more changes"
        return (
            f"The old model is still served, since the new one is not better on the {which}. Update again {again}, or "
            f"run `submodel build`. {took}"
        )
    if any(stage["name"] == "renew the drafts" for stage in document["stages"]):
        return f"The old model is still served, with new drafts. {took}"
    if document.get("files", {}).get("to_learn"):
        return (
            "The old model is still served: an update has tried these changes already, and the new model was not "
            f"better. Update again after more changes, or run `submodel build`. {took}"
        )
    return f"Nothing is new since the last build or update, so the model stays as it is. {took}"

"""`make demo`: builds a sub-model of a real repository and shows its completions of lines that it never saw.

Each is asked anew from the bundle, through the engine that serves editors, beside the truth and the base's answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.measured_repositories import REPORTED, fetch
from builder.corpus.corpus import read_corpus
from builder.evaluation.metrics import is_exact
from contract.children import python_module
from lsp_server.completion import open_completer
from lsp_server.options import PATIENT
from lsp_server.request import CompletionRequest

POSITIONS = 10  # all of them are shown; a build of your own scores more
DEMO = REPORTED[0]


def main() -> None:
    """Fetch, build, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="auto")
    base = parser.parse_args().base
    started = time.perf_counter()
    console = Console()
    repository = fetch(DEMO)
    console.print(f"Repository: {DEMO.name} {DEMO.version} in {repository}", highlight=False, soft_wrap=True)
    build = subprocess.run(
        [
            *python_module("submodel"),
            "build",
            str(repository),
            "--base",
            base,
            "--positions",
            str(POSITIONS),
            "--json",
        ],
        stdout=subprocess.PIPE,
        check=False,
    )
    if build.returncode:
        sys.exit(build.returncode)
    report = json.loads(build.stdout)

    table = Table(title="Lines of files that the model never saw", show_lines=True)
    for title in ("before the cursor ▏", "truth", "base", "sub-model, from the bundle", "ms"):
        table.add_column(title, overflow="fold", justify="right" if title == "ms" else "left")
    texts = {file.path: file.text for file in read_corpus(repository).files}
    completer = open_completer(Path(report["paths"]["bundle"]))
    for answer in report["answers"]:
        text, offset, truth = texts[answer["path"]], answer["offset"], answer["truth"]
        # As if the rest of the line had not been written yet: neither model sees the truth.
        shown = text[:offset] + text[offset + len(truth) :]
        request = CompletionRequest(text=shown, offset=offset, path=answer["path"], options=PATIENT)
        completion = completer.complete(request)
        before = text[:offset].rpartition("\n")[2].lstrip()
        table.add_row(
            Text(f"{answer['path']}\n{before}▏"),
            Text(truth),
            Text(answer["answers"]["base"]),
            Text(completion.text, style="green" if is_exact(completion.text, truth) else ""),
            f"{completion.milliseconds:.0f}",
        )
    console.print(table)
    console.print(f"make demo took {time.perf_counter() - started:.0f} s after installation.")


if __name__ == "__main__":
    main()

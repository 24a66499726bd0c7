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
from statistics import median

from rich.console import Console
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

    texts = {file.path: file.text for file in read_corpus(repository).files}
    right, milliseconds = dict.fromkeys(("base", "sub-model"), 0), []
    completer = open_completer(Path(report["paths"]["bundle"]))
    for answer in report["answers"]:
        text, offset, truth = texts[answer["path"]], answer["offset"], answer["truth"]
        # As if the rest of the line had not been written yet: neither model sees the truth.
        shown = text[:offset] + text[offset + len(truth) :]
        request = CompletionRequest(text=shown, offset=offset, path=answer["path"], options=PATIENT)
        completion = completer.complete(request)
        before = text[:offset].rpartition("\n")[2].lstrip()
        base = answer["answers"]["base"]
        console.print(Text(f"{answer['path']}\n  {before}", style="dim") + Text(f"▏{truth}", style="bold"))
        for name, given in (("base", base), ("sub-model", completion.text)):
            is_right = is_exact(given, truth)
            right[name] += is_right
            console.print(
                Text(f"  {name:9} {'right' if is_right else 'wrong'}  ▏{given}", style="green" if is_right else "")
            )
        milliseconds.append(completion.milliseconds)
    models = {row["name"]: row for row in report["models"]}
    sizes = " of ".join(f"{models[name]['parameters'] / 1e6:.0f} M" for name in ("sub-model", "base"))
    lines = (
        f"Of {len(milliseconds)} lines in files that neither saw, the sub-model completes {right['sub-model']}, "
        f"the base {right['base']}.",
        f"The sub-model has {sizes} parameters and answers in {median(milliseconds):.0f} ms (median).",
        f"make demo took {time.perf_counter() - started:.0f} s after installation.",
    )
    console.print("\n" + "\n".join(lines), highlight=False)


if __name__ == "__main__":
    main()

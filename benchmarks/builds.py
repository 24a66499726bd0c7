"""How benchmarks are run: their builds in the cache, where results are written, and errors that a user can mend."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measured_repositories import CACHE, Repository, tree_hash
from builder.evaluation.scores import Scores
from contract.children import python_module
from contract.errors import SubmodelError
from contract.versions import installed_versions

RESULTS = Path(__file__).parent / "results"


def build(folder: Path, name: str, base: str, arguments: Sequence[str]) -> Path:
    """`submodel build` of a folder; the output folder. Stages that an earlier run finished are kept."""
    output = CACHE / "builds" / name
    command = [*python_module("submodel"), "build", str(folder), "-o", str(output), "--base", base]
    subprocess.run([*command, *arguments], check=True)
    return output


def read_report(output: Path) -> dict[str, Any]:
    """What a build says of itself; its plan without the figures of each layer."""
    report = dict(json.loads((output / "report.json").read_text("utf-8")))
    report["plan"] = {key: value for key, value in report["plan"].items() if not key.startswith("layer_")}
    return report


def scores_in(output: Path, stage: str) -> Scores:
    """What a stage of a build made of each held-out position, from its record."""
    record = json.loads((output / "stages" / f"{stage}.json").read_text("utf-8"))
    return Scores.from_record(record["result"])


def describe_repository(repository: Repository, folder: Path) -> dict[str, str]:
    """Which text a figure was measured on."""
    return {
        "repository": f"{repository.index} {repository.name} {repository.version}",
        "language": repository.language,
        "tree_sha256": tree_hash(folder),
    }


def write_result(name: str, document: Mapping[str, Any], packages: tuple[str, ...] = ()) -> None:
    """Write benchmarks/results/NAME.json, with the machine and the versions unless the document has them.

    packages: those whose versions are added to what `describe_versions` names.
    """
    added: dict[str, Any] = {}
    if "machine" not in document:
        added["machine"] = describe_machine()
    if "versions" not in document:
        added["versions"] = describe_versions() | installed_versions(packages)
    write_document(name, {**added, **document})


def write_document(name: str, document: Mapping[str, Any]) -> None:
    """Write benchmarks/results/NAME.json as it is, for figures of several machines or of another Python."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(f"{text}\n", "utf-8")


def run_program(main: Callable[[], None]) -> None:
    """Run a benchmark. An error that a user can mend, or a command that fails, ends it with its sentence."""
    try:
        main()
    except (SubmodelError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))

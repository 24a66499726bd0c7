"""Where results are written, and how a benchmark ends at an error that a user can mend."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine, describe_versions
from builder.versions import installed_versions
from contract.errors import SubmodelError

RESULTS = Path(__file__).parent / "results"


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

"""How benchmarks are run: builds and steps in the cache, where results are written, errors that a user can mend."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measured_repositories import CACHE, Repository, tree_hash
from builder.evaluation.scores import Scores
from contract.children import python_module
from contract.errors import SubmodelError
from contract.repository.git import run_git
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


def commit_at(clone: Path, back: int) -> str:
    """The full hash of the commit so many first parents before HEAD."""
    return run_git(clone, "rev-parse", f"HEAD~{back}").decode().strip()


def checkout(clone: Path, folder: Path, commit: str) -> Path:
    """A clone of the clone at the commit; what git ignores there (.submodel) stays."""
    if not folder.is_dir():
        subprocess.run(["git", "clone", "--quiet", "--no-checkout", clone.resolve(), folder], check=True)
    subprocess.run(["git", "checkout", "--quiet", "--force", "--detach", commit], cwd=folder, check=True)
    return folder


def mark_of(folder: Path, number: int | str) -> Path:
    """Return the file that says that the model of this folder was brought to a point."""
    return folder / ".submodel" / f"following-{number}.json"


def run_once(
    mark: Path, words: Sequence[str], folder: Path, commit: str, then: Callable[[], Mapping[str, object]] = dict
) -> dict[str, Any]:
    """Run a command of ours in a folder, and `then`, unless an earlier run of the script did.

    Returns what the command took, and what `then` returned: the folder's model may be a later one by now.
    """
    versions = describe_versions()
    origin = {"commit": commit, "words": words, "program": [versions.get(key) for key in ("submodel", "commit")]}
    if not mark.exists():
        ran = mark.with_suffix(".ran")  # a script that is stopped in `then` does not run the command again
        if not ran.exists():
            ran.write_text(json.dumps({"origin": origin, **timed_run([*words, "--positions", "0", "--json"], folder)}))
        mark.write_text(json.dumps({**read_mark(ran, origin), **then()}))
        ran.unlink()
    return read_mark(mark, origin)


def read_mark(mark: Path, origin: Mapping[str, object]) -> dict[str, Any]:
    """Return what a step took; stop if an earlier run made it of another commit, otherwise, or by another program."""
    document: dict[str, Any] = json.loads(mark.read_text())
    if document.get("origin") != origin:
        raise SystemExit(
            f"{mark} is of an earlier run with another commit, other options or another version of the program; "
            f"go on with those, or remove {mark.parents[2]} to begin anew."
        )
    return document


def timed_run(words: Sequence[str], folder: Path) -> dict[str, Any]:
    """A command of ours in a folder: seconds of wall, processor and stages."""
    import resource  # Windows has none, and tests there import this module

    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([*python_module("submodel"), *words], cwd=folder, stdout=subprocess.PIPE, check=True)
    after, document = resource.getrusage(resource.RUSAGE_CHILDREN), json.loads(done.stdout)
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "processor_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "stages": document["stages"],
        **{key: document[key] for key in ("kept", "files", "finetuning", "parity") if key in document},
    }


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


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

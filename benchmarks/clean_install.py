"""What another laptop needs: a clean environment with the core install, and how soon a packed bundle completes there.

    python -m benchmarks.clean_install FILE.submodel [--python PYTHON ...]
    python -m benchmarks.clean_install --build [--python PYTHON ...]

For each Python, makes a virtual environment with this checkout's core dependencies alone, asserts that torch is not
among them, says how much was downloaded and how much lies on disk, and times `submodel unpack` and the first `submodel
complete` after it. `--build` installs what building needs too, and nothing else. Seconds are those of the installation
from wheels on disk. Writes benchmarks/results/clean-install.json: a part for each version of Python in "serve" or
"build"; the others stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS, write_document
from benchmarks.machine import describe_machine

ROOT = Path(__file__).parents[1]
PROGRAM = "def area(self):\n    return "
FORBIDDEN = ("torch", "transformers", "onnx", "optimum", "cryptography", "ray")


def main() -> None:
    """Install, unpack, complete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?")
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="the interpreters to install for")
    known = parser.parse_args()
    if not known.build and known.archive is None:
        parser.error("Name a packed bundle (`submodel pack`), or give --build.")
    for python in known.python:
        with tempfile.TemporaryDirectory() as scratch:
            if known.build:
                found = measure_build(python, Path(scratch))
            else:
                found = measure(python, known.archive.absolute(), Path(scratch))
        print(json.dumps(found, indent=2), flush=True)
        path = RESULTS / "clean-install.json"
        document = json.loads(path.read_text("utf-8")) if path.exists() else {}
        version = ".".join(found["python"].split(".")[:2])
        part = document.setdefault("build" if known.build else "serve", {})
        part[version] = {"machine": describe_machine(), "load_average": round(os.getloadavg()[0], 1), **found}
        write_document("clean-install", document)


def measure(python: str, archive: Path, scratch: Path) -> dict[str, Any]:
    """The figures; everything happens in the empty folder `scratch`."""
    repository = scratch / "repository"
    submodel, installed = install_core(scratch, python)
    repository.mkdir()
    (repository / "area.py").write_text(PROGRAM, "utf-8")
    started = time.perf_counter()
    run(*submodel, "unpack", archive, cwd=repository)
    unpacked = time.perf_counter()
    answer = complete(submodel, repository)
    done = time.perf_counter()
    return {
        "command": f"python -m benchmarks.clean_install {archive.name}",
        **installed,
        "archive_bytes": archive.stat().st_size,
        "bundle_bytes": bytes_of(repository / ".submodel"),
        "unpack_s": round(unpacked - started, 2),
        "first_completion_s": round(done - unpacked, 2),
        "unpack_to_first_completion_s": round(done - started, 2),
        "completion": answer["raw"],
    }


def measure_build(python: str, scratch: Path) -> dict[str, Any]:
    """The figures of what building needs."""
    interpreter, versions, installed = install(scratch, f"{ROOT}[build]", python)
    run(interpreter, "-P", "-m", "submodel", "build", "--help")
    return {"packages": len(versions), "torch": versions["torch"], **installed}


def install_core(scratch: Path, python: str = sys.executable) -> tuple[tuple[object, ...], dict[str, Any]]:
    """The command of `submodel` in an environment of its core dependencies alone, and what that environment takes."""
    interpreter, versions, installed = install(scratch, ROOT, python)
    assert not set(FORBIDDEN) & versions.keys(), versions
    return (interpreter, "-P", "-m", "submodel"), {**installed, "versions": versions}


def install(scratch: Path, requirement: object, python: str) -> tuple[Path, dict[str, str], dict[str, Any]]:
    """Install a requirement into a new environment from wheels alone; its Python, its packages, bytes and seconds."""
    wheels, environment = scratch / "wheels", scratch / "environment"
    run(python, "-m", "venv", environment)
    interpreter = environment / "bin" / "python"
    run(interpreter, "-P", "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, requirement)
    before = bytes_of(environment)
    name = str(requirement).replace(str(ROOT), "submodel")
    started = time.perf_counter()
    run(interpreter, "-P", "-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels, name)
    seconds = round(time.perf_counter() - started, 1)
    listed = json.loads(run(interpreter, "-P", "-m", "pip", "list", "--format", "json"))
    return (
        interpreter,
        {package["name"].lower(): package["version"] for package in listed},
        {
            "python": run(interpreter, "-c", "import platform; print(platform.python_version())").strip(),
            "download_bytes": bytes_of(wheels),
            "installed_bytes": bytes_of(environment) - before,
            "install_s": seconds,
            "own_wheel": describe_wheel(next(wheels.glob("submodel-*.whl"))),
        },
    )


def describe_wheel(wheel: Path) -> dict[str, Any]:
    """The size of our own wheel, and how many files each of its folders has."""
    with zipfile.ZipFile(wheel) as file:
        folders = Counter(name.split("/")[0] for name in file.namelist())
    return {"bytes": wheel.stat().st_size, "files": dict(folders)}


def complete(submodel: tuple[object, ...], repository: Path) -> dict[str, Any]:
    """The answer at the end of PROGRAM, which `area.py` in the repository holds."""
    place = ("--line", 1, "--character", 11)
    return dict(json.loads(run(*submodel, "complete", "area.py", *place, "--json", cwd=repository)))


def run(*command: object, cwd: Path | None = None) -> str:
    """Standard output of a command that has to succeed."""
    return subprocess.run([*map(str, command)], cwd=cwd, stdout=subprocess.PIPE, text=True, check=True).stdout


def bytes_of(folder: Path) -> int:
    """All files below a folder, links not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


if __name__ == "__main__":
    main()

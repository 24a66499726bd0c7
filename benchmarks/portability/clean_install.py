"""What another laptop needs: a clean environment with the core install, and how soon a packed bundle completes there.

    python -m benchmarks.portability.clean_install FILE.submodel
    python -m benchmarks.portability.clean_install --build

Makes a virtual environment with this checkout's core dependencies alone, asserts that torch is not among them, says how
much was downloaded and how much lies on disk, and times `submodel unpack` and the first `submodel complete` after it.
`--build` installs what building needs too, and nothing else. Seconds are those of the installation from wheels on disk.
Writes benchmarks/results/clean-install.json; `--build` writes the part "build" of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS, write_result
from benchmarks.machine import describe_machine
from contract.children import python_module

ROOT = Path(__file__).parents[2]
PROGRAM = "def area(self):\n    return "
FORBIDDEN = ("torch", "transformers", "onnx", "optimum", "cryptography", "ray")


def main() -> None:
    """Install, unpack, complete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?")
    parser.add_argument("--build", action="store_true")
    known = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if known.build:
            document = json.loads((RESULTS / "clean-install.json").read_text("utf-8"))
            document["build"] = measure_build(Path(scratch))
        elif known.archive is None:
            parser.error("Name a packed bundle (`submodel pack`), or give --build.")
        else:
            document = measure(known.archive.absolute(), Path(scratch))
    print(json.dumps(document, indent=2))
    write_result("clean-install", document)


def measure(archive: Path, scratch: Path) -> dict[str, Any]:
    """The figures; everything happens in the empty folder `scratch`."""
    repository = scratch / "repository"
    submodel, installed = install_core(scratch)
    repository.mkdir()
    (repository / "area.py").write_text(PROGRAM, "utf-8")
    started = time.perf_counter()
    run(*submodel, "unpack", archive, cwd=repository)
    unpacked = time.perf_counter()
    answer = complete(submodel, repository)
    done = time.perf_counter()
    return {
        "command": f"python -m benchmarks.portability.clean_install {archive.name}",
        "machine": describe_machine(),
        **installed,
        "archive_bytes": archive.stat().st_size,
        "bundle_bytes": bytes_of(repository / ".submodel"),
        "unpack_s": round(unpacked - started, 2),
        "first_completion_s": round(done - unpacked, 2),
        "unpack_to_first_completion_s": round(done - started, 2),
        "completion": answer["raw"],
    }


def measure_build(scratch: Path) -> dict[str, Any]:
    """The figures of what building needs."""
    _, versions, installed = install(scratch, f"{ROOT}[build]")
    return {"machine": describe_machine(), "packages": len(versions), "torch": versions["torch"], **installed}


def install_core(scratch: Path) -> tuple[tuple[object, ...], dict[str, Any]]:
    """The command of `submodel` in an environment of its core dependencies alone, and what that environment takes."""
    python, versions, installed = install(scratch, ROOT)
    assert not set(FORBIDDEN) & versions.keys(), versions
    return (python, "-P", "-m", "submodel"), {"versions": versions, **installed}


def install(scratch: Path, requirement: object) -> tuple[Path, dict[str, str], dict[str, Any]]:
    """Install a requirement into a new environment from wheels alone; its Python, its packages, bytes and seconds."""
    wheels, environment = scratch / "wheels", scratch / "environment"
    run(*python_module("pip"), "wheel", "--quiet", "--wheel-dir", wheels, requirement)
    venv.create(environment, with_pip=True)
    before = bytes_of(environment)
    python = environment / "bin" / "python"
    name = str(requirement).replace(str(ROOT), "submodel")
    started = time.perf_counter()
    run(python, "-P", "-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels, name)
    seconds = round(time.perf_counter() - started, 1)
    listed = json.loads(run(python, "-P", "-m", "pip", "list", "--format", "json"))
    return (
        python,
        {package["name"].lower(): package["version"] for package in listed},
        {
            "download_bytes": bytes_of(wheels),
            "installed_bytes": bytes_of(environment) - before,
            "install_s": seconds,
        },
    )


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

"""Known faults of the packages that we depend on: pip-audit over requirements-dev.lock, npm audit over the extension's.

    python -m benchmarks.audit

pip-audit is installed into a folder of its own, so that it changes nothing here. Where an index can't be reached the
answer is not "no faults" but that nothing was asked; the exit code is 1 where faults are known, 3 where neither client
could ask, and 0 else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from contract.children import child_environment, find_program, python_module

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements-dev.lock"
EXTENSION = ROOT / "vscode-extension"
TIMEOUT_S = 300


def audit_python() -> int | None:
    """How many faults are known of the locked Python packages; None where that could not be asked."""
    with tempfile.TemporaryDirectory() as room:
        install = [*python_module("pip"), "install", "--quiet", "--target", room, "pip-audit>=2.7"]
        if _run(install) is None:
            return None
        words = ["-P", "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip", "--format", "json"]
        done = _run([sys.executable, *words, "--progress-spinner", "off"], PYTHONPATH=room, accepts=(0, 1))
        try:
            packages = json.loads(done or "")["dependencies"]
        except (ValueError, KeyError, TypeError):
            return None
    faults = [(one["name"], one["version"], fault["id"]) for one in packages for fault in one.get("vulns", ())]
    for name, version, fault in faults:
        print(f"{name} {version}: {fault}")
    return len(faults)


def audit_npm() -> int | None:
    """The same of the extension's packages."""
    npm = find_program("npm")
    if npm is None:
        return None
    done = _run([npm, "audit", "--json", "--package-lock-only"], folder=EXTENSION, accepts=(0, 1))
    try:
        faults = json.loads(done or "")["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        return None
    for name, fault in faults.items():
        print(f"npm {name} {fault.get('range')}: {fault.get('severity')}")
    return len(faults)


def _run(command: list[str], *, folder: Path = ROOT, accepts: tuple[int, ...] = (0,), **environment: str) -> str | None:
    """What a client prints; None where it fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=child_environment() | environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode in accepts else None


def main() -> None:
    """Ask both."""
    counts = {"pip-audit": audit_python(), "npm audit": audit_npm()}
    for client, count in counts.items():
        if count is None:
            print(f"{client}: nothing was asked, since it or its index can't be reached; run `make audit` online.")
        else:
            print(f"{client}: {count} known faults.")
    if any(counts.values()):
        sys.exit(1)
    sys.exit(3 if all(count is None for count in counts.values()) else 0)


if __name__ == "__main__":
    main()

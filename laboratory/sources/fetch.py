"""Source distributions, fetched with the user's own clients (pip, npm, apt-get): their indexes and proxies hold.

Nothing is installed. What is fetched is unpacked without following a path out of its folder, and compared with its
SHA-256 where that is known. pip asks the build backend of a "pypi" source distribution for its metadata, which runs
that package's code: name only packages that you would install. For the other indexes no code runs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

from builder.bases.wheels import last_words
from builder.lock_file import hold_lock
from contract.children import child_environment, find_program, python_module
from contract.errors import CorpusError, first_line
from contract.files.disk_calls import remove_tree, sync, sync_tree
from contract.files.file_hash import hash_file
from contract.progress import OnEvent, no_event
from laboratory.sources.distribution import Distribution

_PIP: Final = (*python_module("pip"), "download", "--quiet", "--no-deps")
_TIMEOUT_S: Final = 600
APT: Final = Path("/etc/apt")
_LISTS_AGE_S: Final = 24 * 3600  # apt's lists are fetched anew after that


def fetch(distribution: Distribution, into: Path, *, on_event: OnEvent = no_event) -> Path:
    """The unpacked folder of a distribution below `into`, downloaded once; again where another hash is listed.

    Raises CorpusError, one sentence, where the client is missing or fails, or the archive is not what is listed.
    """
    folder = into / distribution.path
    if folder.is_dir():
        return folder
    into.mkdir(parents=True, exist_ok=True)
    with hold_lock(into / ".lock", on_event):
        if folder.is_dir():  # another process was faster
            return folder
        on_event(f"Fetching {distribution}")
        fresh = into / f".{folder.name}.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        try:
            _run(_command(distribution, fresh, into), fresh, distribution)
            archive = _downloaded(fresh, distribution)
            _check(archive, distribution)
            _unpack(archive, fresh / "unpacked", distribution)
            tops = list((fresh / "unpacked").iterdir())
            whole = tops[0] if len(tops) == 1 and tops[0].is_dir() else fresh / "unpacked"
            sync_tree(whole)
            folder.parent.mkdir(exist_ok=True)
            whole.replace(folder)
            sync(folder.parent)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _command(distribution: Distribution, fresh: Path, into: Path) -> list[str]:
    """What puts the distribution's archive into `fresh`, when run there."""
    if distribution.index in ("pypi", "wheel"):
        # Pure wheels for any platform: so everybody gets the same file, and none of its code runs.
        kind = (
            ["--no-binary", ":all:"]
            if distribution.index == "pypi"
            else ["--only-binary", ":all:", "--platform", "any"]
        )
        if not distribution.sha256:
            return [*_PIP, *kind, distribution.requirement]
        # With the hash pip compares before it looks inside.
        requirements = fresh / "requirements.txt"
        requirements.write_text(f"{distribution.requirement} --hash=sha256:{distribution.sha256}\n", "utf-8")
        return [*_PIP, *kind, "--require-hashes", "-r", requirements.name]
    if distribution.index == "npm":
        return ["npm", "pack", "--silent", distribution.requirement]
    options = _apt_options(into / ".apt")
    return ["apt-get", *options, "source", "--download-only", "--tar-only", distribution.requirement]


def _apt_options(folder: Path) -> list[str]:
    """Options for apt with lists of its own: the machine's sources, but of source packages, which most leave out.

    Where the lists can't be fetched, what asks for a package says so.
    """
    folder = folder.absolute()  # apt has its own folders for relative ones
    parts, lists = folder / "sources", folder / "lists"
    options = [f"Dir::Etc::SourceParts={parts}", f"Dir::State::Lists={lists}", "Dir::Etc::SourceList=/dev/null"]
    flags = [flag for option in options for flag in ("-o", option)]
    stamp = folder / "updated"
    if stamp.exists() and abs(time.time() - stamp.stat().st_mtime) < _LISTS_AGE_S:
        return flags
    remove_tree(parts)  # a list that the machine has no more is not to be asked for
    for needed in (parts, lists / "partial"):
        needed.mkdir(parents=True, exist_ok=True)
    for path in (APT / "sources.list", *sorted((APT / "sources.list.d").glob("*.*"))):
        if path.is_file() and path.suffix in (".list", ".sources"):
            try:
                text = path.read_text("utf-8")
            except (OSError, ValueError):  # one with a password, which only root reads; not UTF-8
                continue
            (parts / path.name).write_text(_of_sources(text), "utf-8")
    apt = find_program("apt-get")
    if apt is not None:
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [apt, *flags, "update", "--quiet"],
                cwd=folder,
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
            if done.returncode == 0:
                stamp.touch()
    return flags


def _of_sources(text: str) -> str:
    """A list of binary packages, in either of apt's forms, as one of source packages."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*deb-src\s", line)]
    lines = [re.sub(r"^(\s*)deb(?=\s)", r"\1deb-src", line) for line in lines]
    return "\n".join(re.sub(r"^Types:.*", "Types: deb-src", line) for line in lines) + "\n"


def _run(command: list[str], folder: Path, distribution: Distribution) -> None:
    client = "pip" if command[0] == sys.executable else command[0]
    program = find_program(command[0])
    if program is None:
        raise CorpusError(f"{distribution} is fetched with {client}, which is not here; install it, or name a folder.")
    environment = child_environment() | {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "LC_ALL": "C"}
    environment["PYTHONIOENCODING"] = "utf-8"  # of pip on Windows, which has another one for pipes
    try:
        done = subprocess.run(
            [program, *command[1:]],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CorpusError(f"{distribution} did not come within {_TIMEOUT_S} s; try again.") from error
    if done.returncode:
        output = done.stderr or done.stdout
        last = ([line.strip() for line in output.splitlines() if line.strip()] or ["it gave no reason"])[-1]
        words = last_words(output) if client == "pip" else last
        is_listed = distribution.index == "debian" and distribution.sha256
        advice = "; the listed packages are Debian 13's" if is_listed else ""
        raise CorpusError(f"{client} can't fetch {distribution}: {words[:300].rstrip('.')}{advice}")


def _downloaded(folder: Path, distribution: Distribution) -> Path:
    archives = [path for path in folder.iterdir() if ".tar." in path.name or path.suffix in (".tgz", ".whl", ".zip")]
    archives = [path for path in archives if ".orig." in path.name] or archives  # Debian's own changes left aside
    if len(archives) != 1:
        raise CorpusError(f"{distribution} came as {len(archives)} archives, not one; name another distribution.")
    return archives[0]


def _check(archive: Path, distribution: Distribution) -> None:
    found = hash_file(archive)
    if distribution.sha256 and found != distribution.sha256:
        raise CorpusError(
            f"{distribution} has the SHA-256 {found}, and {distribution.sha256} is listed: it was changed, or another "
            "index answers; name the distribution yourself if you trust it."
        )


def _unpack(archive: Path, target: Path, distribution: Distribution) -> None:
    """Unpack regular files alone, by the standard library's rules, which let none out of the folder."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(target)
        else:
            with tarfile.open(archive) as tarred:
                tarred.extractall(target, filter=_regular)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError) as error:
        raise CorpusError(
            f"The archive of {distribution} can't be unpacked ({first_line(error, 300)}); fetch it again."
        ) from error


def _regular(member: tarfile.TarInfo, target: str) -> tarfile.TarInfo | None:
    return tarfile.data_filter(member, target) if member.isreg() else None

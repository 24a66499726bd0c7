"""Real repositories to build on: source distributions from the package indexes, fetched with the user's own clients.

Lists that never mix: on TUNING we choose settings, on REPORTED we measure what we tell. GENERIC is code that has
nothing to do with the latter, for models that know code but not the repository.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

CACHE = Path(platformdirs.user_cache_dir("submodel")) / "repositories"


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One source distribution; `index` is "pypi", "npm" or "debian" (a source package of Debian 13)."""

    name: str
    version: str
    index: str
    language: str


TUNING = (
    Repository(name="flask", version="3.1.3", index="pypi", language="Python"),
    Repository(name="rich", version="15.0.0", index="pypi", language="Python"),
)
REPORTED = (
    Repository(name="httpx", version="0.28.1", index="pypi", language="Python"),
    Repository(name="click", version="8.1.8", index="pypi", language="Python"),
    Repository(name="fastify", version="5.6.0", index="npm", language="JavaScript"),
    Repository(name="libgoogle-gson-java", version="2.10.1-1", index="debian", language="Java"),
    Repository(name="re2", version="20240702-3", index="debian", language="C++"),
)
GENERIC = (
    *TUNING,
    Repository(name="preact", version="11.2.0", index="npm", language="JavaScript"),
    Repository(name="commons-csv", version="1.9.0-1", index="debian", language="Java"),
    Repository(name="spdlog", version="1:1.15.2+ds-2", index="debian", language="C++"),
)


def fetch(repository: Repository, into: Path = CACHE) -> Path:
    """The unpacked folder of a repository, downloaded once; raises RuntimeError with the client's words on failure."""
    folder = into / f"{repository.name}-{repository.version}"
    if folder.is_dir():
        return folder
    fresh = into / f".{folder.name}.partial"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    command = _download_command(repository, fresh)
    done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False)
    archives = [path for path in fresh.iterdir() if ".tar." in path.name or path.suffix == ".tgz"]
    archives = [path for path in archives if ".orig." in path.name] or archives  # Debian's own changes left aside
    if done.returncode or len(archives) != 1:
        raise RuntimeError(f"{' '.join(command[-2:])} failed: {done.stderr.strip()[-300:]}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(fresh / "unpacked", filter="data")
    (top,) = (fresh / "unpacked").iterdir()
    top.rename(folder)
    shutil.rmtree(fresh)
    return folder


def _download_command(repository: Repository, folder: Path) -> list[str]:
    """What puts the repository's archive into `folder`, when run there."""
    wanted = f"{repository.name}=={repository.version}"
    if repository.index == "pypi":
        return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", wanted]
    if repository.index == "npm":
        return ["npm", "pack", "--silent", f"{repository.name}@{repository.version}"]
    options = _debian_sources(folder / "apt")
    return ["apt-get", *options, "source", "--download-only", "--tar-only", f"{repository.name}={repository.version}"]


def _debian_sources(folder: Path) -> list[str]:
    """Options for apt with lists of its own: the machine's sources, but of source packages, which most leave out."""
    parts = folder / "sources"
    parts.mkdir(parents=True)
    for path in Path("/etc/apt/sources.list.d").glob("*.sources"):
        (parts / path.name).write_text(path.read_text("utf-8").replace("Types: deb\n", "Types: deb-src\n"), "utf-8")
    (folder / "lists" / "partial").mkdir(parents=True)
    options = [
        f"Dir::Etc::SourceParts={parts}",
        f"Dir::State::Lists={folder / 'lists'}",
        "Dir::Etc::SourceList=/dev/null",
    ]
    flags = [flag for option in options for flag in ("-o", option)]
    subprocess.run(["apt-get", *flags, "update", "--quiet"], capture_output=True, check=False)
    return flags


def tree_hash(folder: Path) -> str:
    """SHA-256 over names and contents, so that a figure names the text that it was measured on."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and ".submodel" not in p.parts):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()

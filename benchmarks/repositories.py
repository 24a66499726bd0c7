"""Real repositories to build on: source distributions from the package indexes, fetched with the user's own clients.

Two lists that never mix: on TUNING we choose settings, on REPORTED we measure what we tell.
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
    """One source distribution; `index` is "pypi" or "npm"."""

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
)


def fetch(repository: Repository, into: Path = CACHE) -> Path:
    """The unpacked folder of a repository, downloaded once; raises RuntimeError with the client's words on failure."""
    folder = into / f"{repository.name}-{repository.version}"
    if folder.is_dir():
        return folder
    fresh = into / f".{folder.name}.partial"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    wanted = f"{repository.name}=={repository.version}"
    if repository.index == "pypi":
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", wanted]
    else:
        command = ["npm", "pack", "--silent", f"{repository.name}@{repository.version}"]
    done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False)
    archives = [*fresh.glob("*.tar.gz"), *fresh.glob("*.tgz")]
    if done.returncode or len(archives) != 1:
        raise RuntimeError(f"{' '.join(command[-2:])} failed: {done.stderr.strip()[-300:]}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(fresh / "unpacked", filter="data")
    (top,) = (fresh / "unpacked").iterdir()
    top.rename(folder)
    shutil.rmtree(fresh)
    return folder


def tree_hash(folder: Path) -> str:
    """SHA-256 over names and contents, so that a figure names the text that it was measured on."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and ".submodel" not in p.parts):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()

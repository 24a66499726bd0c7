"""Real repositories to build on: source distributions from the package indexes, fetched with the user's own clients.

Lists that never mix: on TUNING we choose settings, on REPORTED we measure what we tell. Lengths of the window were
chosen on click in November 2026; the secret filter's figures alone have it still. Clones with their history are named
on the command line: starlette, Catch2 and fmt are for tuning; cobra, gson, hono and httpx are for what we tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from laboratory.sources import fetch as sources
from laboratory.sources.distribution import Distribution

CACHE = Path(platformdirs.user_cache_dir("submodel")) / "repositories"


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One source distribution; `index` is "pypi", "npm" or "debian" (a source package of Debian 13)."""

    name: str
    version: str
    index: str
    language: str


CLICK = Repository(name="click", version="8.1.8", index="pypi", language="Python")
TUNING = (
    Repository(name="flask", version="3.1.3", index="pypi", language="Python"),
    Repository(name="rich", version="15.0.0", index="pypi", language="Python"),
    CLICK,
)
REPORTED = (
    Repository(name="httpx", version="0.28.1", index="pypi", language="Python"),
    Repository(name="fastify", version="5.6.0", index="npm", language="JavaScript"),
    Repository(name="libgoogle-gson-java", version="2.10.1-1", index="debian", language="Java"),
    Repository(name="re2", version="20240702-3", index="debian", language="C++"),
)


def fetch(repository: Repository, into: Path = CACHE) -> Path:
    """The unpacked folder of a repository, downloaded once; raises CorpusError with the client's words on failure."""
    named = Distribution(index=repository.index, name=repository.name, version=repository.version)
    return sources.fetch(named, into)


def tree_hash(folder: Path) -> str:
    """SHA-256 over names and contents, so that a figure names the text that it was measured on."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and ".submodel" not in p.parts):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def text_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and text of every file that is UTF-8 without NUL bytes."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if b"\0" not in data:
            with suppress(UnicodeDecodeError):
                yield str(path), data.decode()

"""The name of a repository in a registry: host and path of its git remote, such as `github.com/acme/app`.

The https and ssh forms of a remote give the same name. User names, passwords, ports, a `.git` at the end and the case
of letters are left out. What it does not cover: hosts whose ssh and https forms have different paths (Azure DevOps,
Bitbucket Server); there the name is given by hand. In a name that is given by hand, a number behind a host with a dot
is a port.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from contract.errors import RegistryError
from contract.files.home import folders_up
from contract.repository.git import GitError, run_git

MAX_NAME: Final = 500  # characters
MAX_REMOTES: Final = 8  # of a repository that are looked up
_SCHEMES: Final = frozenset({"https", "http", "ssh", "git", "git+ssh", "ssh+git", "git+https", "git+http"})
# As `git@host:path`. A single letter before the colon is a drive of Windows.
_SHORT_FORM: Final = re.compile(r"(?:[^@/\s]+@)?(\[[0-9A-Fa-f:.]+\]|[^@:/\s]{2,}):(?!:|//)(.+)")
_WITH_PORT: Final = re.compile(r"^[^@/:\s.]++\.[^@/:\s]++:[0-9]++/.+")  # as `host.name:8443/path`
_FETCHED: Final = re.compile(r"(.*) \(fetch\)(?: \[[^\[]+\])?")  # of a partial clone git names the filter, too
_HOST: Final = re.compile(r"[\w.:-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def repository_name(remote: str) -> str | None:
    """Return the name that a git remote stands for; None for a path of this machine, and for what is no remote."""
    remote = remote.strip()
    if _CONTROL.search(remote):  # urlsplit drops some
        return None
    try:
        parts = urlsplit(remote)
        host = parts.hostname or ""
    except ValueError:  # an address with half a bracket
        return None
    if "://" in remote:
        path = unquote(parts.path) if parts.scheme in _SCHEMES else ""
    elif short := _SHORT_FORM.fullmatch(remote):
        host, path = short[1].strip("[]"), short[2]
    else:
        return None
    path = path.strip("/").removesuffix(".git")
    steps = [step for step in path.split("/") if step]
    name = "/".join([host, *steps]).lower()
    is_odd = "\\" in name or not name.isprintable() or {".", ".."} & {host, *steps} or len(name) > MAX_NAME
    return None if is_odd or not steps or not _HOST.fullmatch(host) else name


def repository_root(folder: Path) -> Path:
    """Return the nearest folder from `folder` up that is a git repository's root; `folder` itself if none is."""
    origin = folder.absolute()
    return next((root for root in folders_up(origin) if (root / ".git").exists()), origin)


def is_part(folder: Path) -> bool:
    """Whether a folder lies within a git repository, whose remotes name the whole."""
    try:
        return bool(run_git(folder, "rev-parse", "--show-prefix").strip())
    except GitError:
        return False


def names_of(root: Path) -> list[str]:
    """Return the names that a repository's git remotes stand for: that of `origin` first, then in git's order.

    Raises RegistryError if there is none: no git repository, no remote, or only paths of this machine.
    """
    try:
        remotes = remote_addresses(root)
    except GitError as error:
        raise RegistryError(
            f"{root} has no git remote to be found by ({error}); give its name in the registry with --repository."
        ) from error
    names = [repository_name(address) for addresses in remotes.values() for address in addresses]
    found = list(dict.fromkeys(name for name in names if name is not None))
    if not found:
        raise RegistryError(
            f"{root} has no git remote on another machine; give its name in the registry with --repository."
        )
    return found


def remote_addresses(root: Path) -> dict[str, list[str]]:
    """Return the addresses of each remote, by its name: `origin` first, then in git's order, MAX_REMOTES at most.

    The first address names the repository. It is the one of git's configuration; what this machine's `url.insteadOf`
    makes of it follows, such as a mirror's. Of a shorthand, such as `gh:acme/app`, that comes first. Raises GitError.
    """
    lines = run_git(root, "remote", "--verbose").decode("utf-8", "replace").splitlines()
    fetched = [one[1].split("\t", 1) for line in lines if (one := _FETCHED.fullmatch(line))]
    remotes = sorted((one for one in fetched if len(one) == 2), key=lambda one: one[0] != "origin")[:MAX_REMOTES]
    configured = _configured_addresses(root) if remotes else {}
    addresses = {}
    for remote, address in remotes:
        given = configured.get(remote, address)
        is_short = "." not in (repository_name(given) or "").split("/")[0]
        addresses[remote] = list(dict.fromkeys((address, given) if is_short else (given, address)))
    return addresses


def _configured_addresses(root: Path) -> dict[str, str]:
    """Return the first address of each remote that git's configuration has, before `url.insteadOf`."""
    try:
        content = run_git(root, "config", "-z", "--get-regexp", r"^remote\..*\.url$").decode("utf-8", "replace")
    except GitError:  # all are in .git/remotes
        return {}
    addresses: dict[str, str] = {}
    for entry in content.split("\0"):
        key, _, address = entry.partition("\n")
        addresses.setdefault(key.removeprefix("remote.").removesuffix(".url"), address)
    return addresses


def given_name(text: str) -> str:
    """Return the name that a user gave, as an address or as a name; raises RegistryError if it is neither."""
    has_port = _WITH_PORT.fullmatch(text) is not None  # else git's short form, HOST:PATH
    name = (None if has_port else repository_name(text)) or (
        None if "://" in text else repository_name(f"https://{text}")
    )
    if name is None:
        raise RegistryError(
            f"{text!r} is no repository's name; give a git address, or host and path such as github.com/acme/app."
        )
    return name

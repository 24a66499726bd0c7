"""Repositories that git fetches from an address. Nobody vouches for what they hold.

Beyond what `contract.repository.git` switches off:

- Only https and ssh are spoken, and http if the address says so. No file, no `ext::` helper, no bundle of a stranger.
- One commit is fetched, without tags and submodules, and its objects are checked.
- Nothing is asked at a terminal or in a window. Passwords come from git's credential helpers and ssh's agent, never
  from an address.
- No filter of an attribute runs, git-lfs neither, and a link is written as a small file.
- The commit's files and folders are counted before they are written: a small pack can hold a tree of millions.
- The pack that a server sends is one file of at most MAX_FILES_BYTES.

What it does not cover: the size of the pack on Windows; the time is limited. A server may redirect to another host,
for which git asks the user's credential helpers: hosts rename repositories.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from contract.errors import CorpusError
from contract.files.disk_calls import remove_tree
from contract.files.disk_errors import is_disk_full
from contract.files.whole_files import write_text
from contract.repository.git import GitError, run_git

PROTOCOLS: Final = ("https", "http", "ssh")
CERTIFICATES: Final = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
ASK_S: Final = 60.0
FETCH_S: Final = 1_800.0
MAX_LIST_BYTES: Final = 256 << 20  # of the commit's files: some million names
MAX_FILES_BYTES: Final = 8 << 30
MAX_PARTS: Final = 100  # of a path: Python 3.12 can't remove a tree of a thousand levels
MAX_PATH_BYTES: Final = 500  # macOS takes 1,024 for a whole path, the clone's folder included
BLOCK_BYTES: Final = 4_096  # what a folder or a small file takes of the disk
SHA1_DIGITS: Final = 40
_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_HEX: Final = re.compile(r"[0-9a-fA-F]{7,64}")
_SCP: Final = re.compile(r"[A-Za-z0-9_][\w.+-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s:-][^\s]*")
_REF: Final = re.compile(r"[A-Za-z0-9_][\w./+@#-]{0,254}")
# What `.gitattributes` of the commit can't change back: these lie in the clone's own info/attributes.
_ATTRIBUTES: Final = "* -filter -ident -text -eol -working-tree-encoding -export-subst\n"
_CONFIG: Final = {
    "core.symlinks": "false",
    "core.longpaths": "true",  # Windows' git writes no path of 260 characters without it
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "fetch.fsckObjects": "true",
    "fetch.unpackLimit": "1",  # a small pack stays one file, too, whose size is limited
    "http.followRedirects": "initial",
    "http.lowSpeedLimit": "1000",  # bytes a second …
    "http.lowSpeedTime": "60",  # … for so many seconds: then the server is gone
}


class FetchError(CorpusError):
    """A repository can't be fetched from its address."""


def is_address(source: str) -> bool:
    """Whether a source is meant for git, not a folder: `SCHEME://…` or `USER@HOST:PATH`."""
    return "://" in source or "::" in source or _SCP.fullmatch(source) is not None


def check_address(address: str) -> None:
    """Raise FetchError unless git may be given this address. The message holds no password."""
    if _SCP.fullmatch(address):
        return
    shown = without_password(address)
    try:
        parts = urlsplit(address)
        host, user, password = parts.hostname, parts.username, parts.password
    except ValueError as error:
        raise FetchError(f"{shown} is no address; write https://HOST/PATH or USER@HOST:PATH") from error
    if parts.scheme not in PROTOCOLS:
        raise FetchError(f"{shown} can't be fetched: only {', '.join(PROTOCOLS)} are; give a clone's folder instead")
    if not host or host.startswith("-") or any(one.isspace() or not one.isprintable() for one in address):
        raise FetchError(f"{shown} is no address; write {parts.scheme}://HOST/PATH")
    if password is not None or (user is not None and parts.scheme != "ssh"):
        raise FetchError(f"{shown} holds a user or a password; take it out, and use a credential helper of git")


def check_ref(ref: str) -> None:
    """Raise FetchError unless it names a branch, a tag or a commit, and can't be taken for an option."""
    if not _REF.fullmatch(ref) or ".." in ref:
        raise FetchError(f"{ref!r} is no branch, tag or commit; leave ref out for the branch that HEAD names")


def without_password(address: str) -> str:
    """The address without what stands before its host, if there is any: that may be a password."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def ask_commit(address: str, ref: str) -> str:
    """The commit that `ref` names at an address now; raises FetchError."""
    if _COMMIT.fullmatch(ref):
        return ref
    try:
        # At the root of the disk: the current folder may be a clone, whose configuration can rewrite addresses.
        root, refs = Path(Path.cwd().anchor), (ref, f"{ref}^{{}}")
        answer = run_git(root, "ls-remote", "--", address, *refs, timeout_s=ASK_S, more=_reach_out(address))
    except GitError as error:
        raise FetchError(_failed(address, error)) from error
    lines = (line.partition("\t") for line in answer.decode("utf-8", "replace").splitlines())
    found = {name: commit for commit, _, name in lines}
    for name in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"):
        if _COMMIT.fullmatch(found.get(name, "")):
            return found[name]
    advice = "give a commit by all its digits, in lower case" if _HEX.fullmatch(ref) else "look at its name"
    raise FetchError(f"{without_password(address)} has no branch or tag {ref}; {advice}.")


def fetch(address: str, commit: str, folder: Path) -> None:
    """Write the files of a commit to `folder`, in place of what lies there; raises FetchError.

    The folder becomes a repository with that one commit.
    """
    remove_tree(folder)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise FetchError(f"{folder} can't be replaced ({error.strerror or error}); remove it.") from error
    more = _reach_out(address)
    try:
        hashes = "sha1" if len(commit) == SHA1_DIGITS else "sha256"
        run_git(folder, "init", "--quiet", "--template=", f"--object-format={hashes}", ".")
        write_text(folder / ".git" / "info" / "attributes", _ATTRIBUTES)
        options = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance")
        words = ("fetch", *options, "--", address, commit)
        run_git(folder, *words, timeout_s=FETCH_S, max_file_bytes=MAX_FILES_BYTES, more=more)
        listed = run_git(folder, "ls-tree", "-r", "-t", "-l", "-z", commit, max_bytes=MAX_LIST_BYTES)
        _check_size(listed)
        run_git(folder, "checkout", "--quiet", "--force", "--detach", commit, timeout_s=FETCH_S, more=_config())
    except GitError as error:
        raise FetchError(_failed(address, error)) from error


def _check_size(listed: bytes) -> None:
    """Raise GitError if files and folders take too much or lie too deep; a line is `MODE TYPE HASH SIZE TAB PATH`."""
    lines = [line.partition(b"\t") for line in listed.split(b"\0") if line]
    if any(path.count(b"/") >= MAX_PARTS for _, _, path in lines):
        raise GitError(f"a path of it has more than {MAX_PARTS} parts")
    if any(len(path) > MAX_PATH_BYTES for _, _, path in lines):
        raise GitError(f"a path of it has more than {MAX_PATH_BYTES} bytes")
    sizes = [facts.split()[-1] for facts, _, _ in lines]
    total = len(lines) * BLOCK_BYTES + sum(int(size) for size in sizes if size.isdigit())  # a folder has "-"
    if total > MAX_FILES_BYTES:
        raise GitError(f"its files and folders take {total:,} bytes, and {MAX_FILES_BYTES:,} are the most")


def _config() -> Mapping[str, str]:
    """_CONFIG, as git's environment."""
    config = {
        name: value
        for number, (key, setting) in enumerate(_CONFIG.items())
        for name, value in ((f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", setting))
    }
    return {**config, "GIT_CONFIG_COUNT": str(len(_CONFIG))}


def _reach_out(address: str) -> Mapping[str, str]:
    """The environment in which git may speak to a server, and asks nobody. No redirect leads to plain http.

    The system's configuration is read here: proxies, certificates and credential helpers stand there on many machines.
    Of the caller's variables for git, only CERTIFICATES count: CI services set them, and they can run no program.
    """
    is_plain = urlsplit(address).scheme == "http"
    certificates = {name: str(Path(os.environ[name]).absolute()) for name in CERTIFICATES if os.environ.get(name)}
    return {
        **_config(),
        **certificates,
        "GCM_INTERACTIVE": "never",  # Git Credential Manager opens windows
        "GIT_CONFIG_NOSYSTEM": "0",
        # Goes before protocol.allow. The user's own `url.….insteadOf` may put ssh in the place of https.
        "GIT_ALLOW_PROTOCOL": ":".join(one for one in PROTOCOLS if one != "http" or is_plain),
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=30",
    }


def _failed(address: str, error: GitError) -> str:
    advice = "free space" if is_disk_full(error) else "look at the address, and at who may read it"
    return f"{without_password(address)} can't be fetched ({error}); {advice}."

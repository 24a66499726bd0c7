"""A MAC under a key that no clone can know: it shows that this user's own program wrote something.

The key lies in the state folder (`contract.files.state_folder`), which no repository can write or read. A MAC covers
the purpose and the name that something is kept under, so that one thing never passes as another.

What it does not cover: whoever can read the state folder, and an older file of the same purpose and name put back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from contract.files.disk_calls import sync
from contract.files.state_folder import ANOTHER, StateFolderError, check_private, state_folder
from contract.files.untrusted_json import parse_json

KEY_FILE: Final = "seal.key"
KEY_BYTES: Final = 32
_MAC: Final = "mac"


def seal_key() -> bytes:
    """Return this user's 32 random bytes, made at the first call; raises StateFolderError if they can't be kept."""
    return private_key(KEY_FILE, lambda: secrets.token_bytes(KEY_BYTES))


def private_key(name: str, make: Callable[[], bytes]) -> bytes:
    """Return the 32 bytes of a file of the state folder, of mode 0600; `make` gives them at the first call.

    Raises StateFolderError if they can't be kept.
    """
    path = state_folder() / name
    try:
        keep_key(path, make)
    except OSError as error:
        raise StateFolderError(
            f"The key {path} can't be written ({error.strerror or error}); free space, or {ANOTHER}."
        ) from error
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise StateFolderError(f"{path} is not a file; remove it and run again.")
            check_private(path, status)
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise StateFolderError(f"The key {path} can't be used ({error.strerror or error}); remove it.") from error
    if len(key) != KEY_BYTES:
        raise StateFolderError(f"The key {path} does not have {KEY_BYTES} bytes; remove it and run again.")
    return key


def keep_key(path: Path, make: Callable[[], bytes]) -> None:
    """Make the key if there is none: whole under another name first, so that nobody reads half of it.

    Raises OSError.
    """
    if os.path.lexists(path):
        return
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(make())
        sync(fresh)
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass  # another process was faster, and its key holds
        except OSError:  # a file system without hard links
            fresh.replace(path)
        sync(path.parent)  # a power cut must not lose a key that was signed with
    finally:
        fresh.unlink(missing_ok=True)


def mac(key: bytes, purpose: str, name: str, content: bytes) -> str:
    """Return the HMAC-SHA256, in hex, of a purpose, a name and a content, each with its length."""
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for part in (purpose.encode(), name.encode(), content):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def sealed_json(key: bytes, purpose: str, name: str, document: Mapping[str, Any]) -> str:
    """Return the document, an object of JSON, as the text of a file with its MAC in it."""
    body = {field: value for field, value in document.items() if field != _MAC}
    sealed = {**body, _MAC: mac(key, purpose, name, json.dumps(body).encode())}
    return json.dumps(sealed, indent=2) + "\n"


def open_sealed(key: bytes, purpose: str, name: str, content: bytes) -> dict[str, Any] | None:
    """Return what `sealed_json` made this content of, without the MAC; None for any other content, by a byte."""
    try:
        document = parse_json(content)
        if not isinstance(document, dict):
            return None
        whole = sealed_json(key, purpose, name, document).encode()
    except (ValueError, RecursionError):  # no JSON, or nested too deeply to be written
        return None
    document.pop(_MAC, None)
    return document if hmac.compare_digest(whole, content) else None

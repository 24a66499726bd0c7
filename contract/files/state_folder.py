"""The user's own folder for what the program must remember and a repository must not be able to write.

Outside of any repository, readable by this user alone: the key that stage records are signed with, for one.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path
from typing import Final

import platformdirs

from contract.errors import SubmodelError
from contract.files.home import holds_home

VARIABLE: Final = "SUBMODEL_STATE_DIR"
ANOTHER: Final = f"name another folder, by an absolute path, with {VARIABLE}"


class StateFolderError(SubmodelError):
    """The state folder can't be made or is not this user's alone."""


def state_folder() -> Path:
    """Return the user's state folder, made with mode 0700; SUBMODEL_STATE_DIR names another one.

    Raises StateFolderError if it can't be made, is a link or no folder, belongs to another user, is open to others, or
    is named by a relative path or inside a git work tree, where a clone may have brought it along.
    """
    chosen = os.environ.get(VARIABLE)
    try:
        folder = Path(chosen).expanduser() if chosen else Path(platformdirs.user_state_dir("submodel", appauthor=False))
    except RuntimeError as error:  # a home folder that nobody knows
        folder_named = f"folder {chosen!r} can't be used" if chosen else "folder of this account is unknown"
        raise StateFolderError(f"The state {folder_named} ({error}); {ANOTHER}.") from error
    if not folder.is_absolute():
        raise StateFolderError(
            f"The state folder {str(folder)!r} is no absolute path, so it may be a stranger's; {ANOTHER}."
        )
    try:
        root = _work_tree(folder)
        if root is not None:
            raise StateFolderError(
                f"The state folder {folder} lies in the git work tree {root}, so it may be a stranger's; {ANOTHER}."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise StateFolderError(
            f"The state folder {folder} can't be used ({error.strerror or error}); {ANOTHER}."
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise StateFolderError(f"{folder} is not a folder; remove it, or {ANOTHER}.")
    check_private(folder, status)
    return folder


def check_private(path: Path, status: os.stat_result) -> None:
    """Raise StateFolderError unless what lies at `path`, of this status, is this user's and closed to all others.

    What comes with a clone or an archive under the usual umask is open to them. Windows has no such modes.
    """
    if sys.platform != "win32":
        if status.st_uid != os.geteuid():
            raise StateFolderError(f"{path} belongs to another user; {ANOTHER}.")
        if stat.S_IMODE(status.st_mode) & 0o077:
            mode = "700" if stat.S_ISDIR(status.st_mode) else "600"
            raise StateFolderError(
                f"{path} is open to other users; run `chmod {mode} {shlex.quote(str(path))}` if submodel made it, else "
                f"{ANOTHER}."
            )


def _work_tree(folder: Path) -> Path | None:
    """The git work tree that a folder lies in, links followed; one that holds the home folder is the user's own."""
    resolved = Path(os.path.realpath(folder))
    for root in (resolved, *resolved.parents):
        if holds_home(root):
            return None
        if os.path.lexists(root / ".git"):
            return root
    return None

"""The user's own folder for what the program must remember and a repository must not be able to write.

Outside of any repository, readable by this user alone: the key that stage records are signed with, for one.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final

import platformdirs

from builder.errors import SubmodelError

VARIABLE: Final = "SUBMODEL_STATE_DIR"


class StateFolderError(SubmodelError):
    """The state folder can't be made or is not this user's alone."""


def state_folder() -> Path:
    """Return the user's state folder, made with mode 0700; SUBMODEL_STATE_DIR names another one.

    Raises StateFolderError if it can't be made, is a link or no folder, or belongs to another user.
    """
    chosen = os.environ.get(VARIABLE)
    folder = (
        Path(chosen).expanduser().absolute()
        if chosen
        else Path(platformdirs.user_state_dir("submodel", appauthor=False))
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise StateFolderError(f"{folder} is not a folder; remove it, or name another one with {VARIABLE}.")
        if sys.platform != "win32":
            if status.st_uid != os.geteuid():
                raise StateFolderError(f"{folder} belongs to another user; name a folder of yours with {VARIABLE}.")
            if stat.S_IMODE(status.st_mode) & 0o077:
                folder.chmod(0o700)
    except OSError as error:
        raise StateFolderError(
            f"The state folder {folder} can't be used ({error.strerror or error}); name another one with {VARIABLE}."
        ) from error
    return folder

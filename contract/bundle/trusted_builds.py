"""Which bundles this account's own programs may load unasked: those that they wrote, and those that the user trusts.

A bundle is known by its build, the SHA-256 of its bundle.json, which holds that of every other file. The list is a
folder in the state folder with an empty file a build: two builds that end together lose nothing of it, and no
repository can write there.

What it does not cover: a bundle that the user names on a command line is loaded without being on the list.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contract.children import shell_line
from contract.errors import BundleError
from contract.files.disk_calls import check_writable, sync
from contract.files.disk_errors import is_disk_full
from contract.files.state_folder import VARIABLE, StateFolderError, check_private, state_folder

FOLDER: Final = "trusted"


class UntrustedError(BundleError):
    """A bundle that was found, or set by a client, is of a `build` that is not on this account's list."""

    def __init__(self, message: str, build: str) -> None:
        super().__init__(message)
        self.build = build


def trusted_folder() -> Path:
    """Return the folder of the list, made if there is none; raises StateFolderError where it can't be used."""
    folder = state_folder() / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        check_private(folder, folder.lstat())
    except OSError as error:
        raise StateFolderError(f"{folder} can't be used ({error.strerror or error}); check its permissions.") from error
    return folder


def check_can_trust() -> None:
    """Raise StateFolderError now if `trust_build` could not write: at the end of a build that would come too late."""
    folder = trusted_folder()
    try:
        check_writable(folder)
    except OSError as error:
        raise _not_written(folder, error) from error


def trust_build(build: str) -> None:
    """Put a build on the list, for good; raises StateFolderError where it can't be written."""
    folder = trusted_folder()
    try:
        (folder / build).touch(mode=0o600)
        sync(folder)
    except OSError as error:
        raise _not_written(folder, error) from error


def forget_build(build: str) -> bool:
    """Take a build off the list; whether it was on it. Raises StateFolderError where the list can't be written."""
    folder = trusted_folder()
    try:
        (folder / build).unlink()
        sync(folder)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _not_written(folder, error) from error
    return True


def _not_written(folder: Path, error: OSError) -> StateFolderError:
    advice = "free space there" if is_disk_full(error) else f"make it writable, or name another folder with {VARIABLE}"
    return StateFolderError(f"{folder} can't be written ({error.strerror or error}); {advice}.")


def check_trusted(bundle: Path, build: str) -> None:
    """Raise UntrustedError, which says what to do, unless the build that lies at `bundle` is on the list."""
    try:
        is_trusted = (trusted_folder() / build).is_file()
    except StateFolderError as error:
        raise UntrustedError(
            f"The bundle {bundle} is not loaded, since the list of trusted bundles can't be read: {error}", build
        ) from error
    if not is_trusted:
        raise UntrustedError(
            f"The bundle {bundle} was not built by this account, or has changed since; "
            f"run `{shell_line(('submodel', 'trust', str(bundle)))}` to use it, or delete it.",
            build,
        )

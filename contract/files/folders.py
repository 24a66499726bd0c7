"""Folders that are written whole or not at all, so that a stage never leaves half of something.

Everything is forced to the disk before the folder takes its name, and the name after that: so neither a killed process
nor a power cut leaves less than the old state or the new one. What a killed run leaves beside it (`.NAME.partial`,
`.NAME.replaced`) is put right by the next one.

Nothing is written through a link: a fresh folder is made by the call that names it, and a link that stands where one is
to be put is itself replaced.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.errors import BuildError, SubmodelError
from contract.files.disk_calls import check_writable, rename, sync, sync_tree
from contract.files.disk_errors import is_disk_full, is_out_of_memory
from contract.files.file_names import is_stray
from contract.files.removal import remove_tree
from contract.files.untrusted_json import read_bytes, read_json

IGNORED = "*\n"  # the .gitignore of each folder that a build makes
_AT_FDCWD, _RENAME_EXCHANGE = -100, 0x2  # renameat2(2)
_RENAME_SWAP = 0x2  # renamex_np(2), macOS
# What each version of ours has written into the file by which `replace_folder` knows a folder: key and kind.
_FORMS: Mapping[str, Mapping[str, type]] = {
    "manifest.json": {"schema": int, "prompt": dict},
    "bundle.json": {"schema": int, "files": dict},
    "result.json": {"bundle": dict, "mac": str},
}


@contextmanager
def replace_folder(
    target: Path, *, marker: str, error_type: type[SubmodelError] = BuildError, keep: Path | None = None
) -> Iterator[Path]:
    """Yield an empty folder beside `target`; when the block ends well it takes `target`'s place as a whole.

    Until then the old folder stays; if the block fails it stays for good, and what was written beside it is removed.
    Afterwards it is removed, or takes the place of `keep`. Only a folder that `check_replaceable` lets pass is ever
    replaced. A full disk or a read-only folder becomes an `error_type`, as does any other OSError inside that is no
    lack of memory. What a killed run left beside the target is put right first. Two runs into one target at the same
    time are not supported.

    The two folders change places in one step where the system can (Linux, macOS), so that a reader always finds one of
    them. Elsewhere there is a moment without either, and the next run puts the old one back if it ends there. On all
    systems a kill right after the swap, before the old one has its next name, loses the old one, `keep` or not.
    """
    target = target.absolute()
    fresh = target.with_name(f".{target.name}.partial")
    retired = _retired(target)
    try:
        _restore(target, retired)
        check_replaceable(target, marker=marker, error_type=error_type)
        drop_folder(fresh)
        fresh.mkdir(parents=True)
        try:
            yield fresh
            sync_tree(fresh)
            if keep is not None:
                keep.parent.mkdir(parents=True, exist_ok=True)
                drop_folder(keep)
            _take_place(fresh, target, retired, keep)
        except BaseException:
            with suppress(OSError):  # what ended the block says more
                drop_folder(fresh)
            raise
        drop_folder(fresh)
        if keep is not None and retired.exists():
            rename(retired, keep)
        if keep is not None:
            sync(keep.parent)
        with suppress(OSError):  # the new one is in place, and the next run removes what is left
            drop_folder(retired)
    except OSError as error:
        if is_out_of_memory(error):  # of what was read in the block
            raise
        if error.errno == errno.EXDEV:  # Linux' overlayfs
            copied = f"cp -r {shlex.quote(str(target))} {shlex.quote(f'{target}.new')}"
            raise error_type(
                f"{target} comes from a container's image, and no folder of an image can be renamed. Copy it first: "
                f"`{copied}`, remove it, and rename the copy."
            ) from error
        where = f" ({error.filename})" if error.filename else ""
        raise error_type(_cannot_write(target, f"{where}: {error.strerror or error}")) from error
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise error_type(_cannot_write(target, ": the disk is full")) from error


def restore_folder(target: Path) -> None:
    """Put back the folder that a killed `replace_folder` has left beside `target`, if nothing took its place.

    What else it left is removed: the next run may have nothing to replace.
    """
    target = target.absolute()
    _restore(target, _retired(target))
    with suppress(OSError):
        drop_folder(target.with_name(f".{target.name}.partial"))


def is_being_replaced(target: Path) -> bool:
    """Return whether the old folder of a `replace_folder` lies beside `target`.

    Where two folders can't change names in one step, `target` is missing for up to half a minute then.
    """
    return os.path.lexists(_retired(target.absolute()))


def check_replaceable(target: Path, *, marker: str, error_type: type[SubmodelError] = BuildError) -> None:
    """Raise `error_type` where `replace_folder` would refuse `target`: to call before long work, too.

    A folder is replaced if it holds nothing, or a file `marker` of ours and no git repository: `-o ~/work` must not
    cost anyone their files. In the output of a build a damaged marker will do, so that the next build mends it.
    """
    if target.is_dir() and not all(is_stray(path.name) for path in target.iterdir()):
        advice = "choose an empty or a new folder with -o"
        if os.path.lexists(target / ".git"):
            raise error_type(f"{target} holds a git repository; {advice}.")
        if not (target / marker).is_file():
            raise error_type(f"{target} holds files but no {marker}; {advice}.")
        if not (_is_ours(target / marker) or _is_in_output(target)):
            raise error_type(f"{target} holds a {marker} that submodel has not written; {advice}.")
    if target.exists() and not target.is_dir():
        raise error_type(f"{target} is a file; choose a folder with -o.")


def _is_ours(marker: Path) -> bool:
    """Whether a file has the form that ours of its name have; one whose form isn't known counts as ours."""
    if (form := _FORMS.get(marker.name)) is None:
        return True
    try:
        document = read_json(marker)
    except (OSError, ValueError):  # ours are whole: they are written before their folder takes its place
        return False
    return isinstance(document, dict) and all(type(document.get(key)) is kind for key, kind in form.items())


def _is_in_output(folder: Path) -> bool:
    """Whether a folder lies in one that a build has made, or at most two levels below that of a fleet."""
    for parent in folder.absolute().parents[:2]:
        with suppress(OSError, ValueError):
            if read_bytes(parent / ".gitignore") == IGNORED.encode():
                return True
    return False


def copy_folder(source: Path, target: Path, *, as_links: bool = False) -> None:
    """Copy the files of a folder to `target`, which may be there already.

    as_links: by hard links where the file system has them, for files that nothing writes in place. Raises OSError as
    the system does of the first file, since shutil's error has no number.
    """
    failures: list[OSError] = []

    def copy(file: str, place: str) -> None:
        try:
            if as_links:
                with suppress(OSError):
                    os.link(file, place)
                    return
            shutil.copy2(file, place)
        except OSError as error:
            failures.append(error)
            raise

    try:
        shutil.copytree(source, target, copy_function=copy, dirs_exist_ok=True)
    except shutil.Error as error:
        raise (failures or [error])[0] from None


def _cannot_write(target: Path, why: str) -> str:
    return f"{target} can't be written{why}; free space or choose a folder that can be written, and run it again."


def _retired(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced")


def _take_place(fresh: Path, target: Path, retired: Path, keep: Path | None) -> None:
    """Put `fresh` in the place of `target`, which then lies at `keep` or at `retired`, if there was one."""
    if not os.path.lexists(target):
        rename(fresh, target)
    elif _exchange(fresh, target):
        try:
            rename(fresh, keep or retired)
        except BaseException:  # Ctrl-C too
            _exchange(fresh, target)
            raise
    else:
        rename(target, retired)
        try:
            rename(fresh, target)
        except BaseException:  # Ctrl-C too
            _restore(target, retired)
            raise
    sync(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; False where the system or its file system can't."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        code = -1  # Windows has no such call
        if sys.platform == "linux":
            code = library.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
        elif sys.platform == "darwin":
            code = library.renamex_np(os.fsencode(one), os.fsencode(other), _RENAME_SWAP)
    except (OSError, AttributeError, TypeError):  # an old C library; none that can be named
        return False
    return bool(code == 0)


def _restore(target: Path, retired: Path) -> None:
    """Undo a replacement that was cut off between its two renames, or finish cleaning up after one that was not."""
    if os.path.lexists(retired) and not os.path.lexists(target):
        rename(retired, target)
        sync(target.parent)
    drop_folder(retired)


def drop_folder(folder: Path) -> None:
    """Remove a folder under a name that nobody takes for a whole one, and what earlier removals left.

    Of a link only the link is removed.
    """
    doomed = folder.with_name(f"{folder.name}.removed" if folder.name.startswith(".") else f".{folder.name}.removed")
    _discard(doomed)
    if os.path.lexists(folder):
        if doomed.is_dir() and not doomed.is_symlink():  # a network drive keeps open files, and so their folder
            doomed /= secrets.token_hex(8)  # a later removal takes it along
        rename(folder, doomed)
        _discard(doomed)


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder to write to; raises BuildError where that can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder)
    except OSError as error:
        raise BuildError(
            f"{folder} can't be written ({error.strerror or error}); check its permissions, or choose another folder "
            "with -o."
        ) from error

"""Folders and files that are written whole or not at all, so that a stage never leaves half of something.

Everything is forced to the disk before it takes its name, and the name after that: so neither a killed process nor a
power cut leaves less than the old state or the new one. What a killed run leaves beside them (`.NAME.….partial`) is
removed by the next one.

Nothing is written through a link: a fresh file has a random name and is made by the call that opens it, a fresh folder
by the call that makes it, and a link that stands where something is to be put is itself replaced.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.errors import BuildError, SubmodelError
from contract.files.disk_errors import is_disk_full, is_out_of_memory
from contract.files.file_names import is_link, is_stray
from contract.files.removal import remove_tree
from contract.files.untrusted_json import read_bytes, read_json

if sys.platform == "darwin":
    import fcntl

SPARE_BYTES = 32 << 20  # a disk filled to its last byte serves nobody
OPEN = 0o666  # the mode of files that others may read, if the user's umask lets them
PRIVATE = 0o600  # of files that hold text of the repository, whose own files may be closed to others
IGNORED = "*\n"  # the .gitignore of each folder that a build makes
_AT_FDCWD, _RENAME_EXCHANGE = -100, 0x2  # renameat2(2)
_RENAME_SWAP = 0x2  # renamex_np(2), macOS
# Windows renames nothing that another process has open or mapped: virus scanners let go soon, servers don't.
_RENAME_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0)
_MAPPED = 1224  # ERROR_USER_MAPPED_FILE, which Python takes for no PermissionError
# What each version of ours has written into the file by which `replace_folder` knows a folder: key and kind.
_FORMS: Mapping[str, Mapping[str, type]] = {
    "manifest.json": {"schema": int, "prompt": dict},
    "bundle.json": {"schema": int, "files": dict},
    "result.json": {"bundle": dict, "mac": str},
}


def write_json(path: Path, document: object, *, mode: int = OPEN) -> None:
    """Write JSON, in ASCII, so that `path` holds either the old document or the whole new one."""
    write_text(path, json.dumps(document, indent=2) + "\n", mode=mode)


def write_text(path: Path, text: str, *, mode: int = OPEN) -> None:
    """Write UTF-8 so that `path` holds either the old text or the whole new one; one writer at a time."""
    with replace_file(path, mode=mode) as fresh, fresh.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


@contextmanager
def replace_file(path: Path, *, mode: int = OPEN) -> Iterator[Path]:
    """Yield an empty file of `mode` beside `path`; when the block ends well, that file takes the name `path`.

    Both are forced to the disk. Until then the old file stays; if the block fails it stays for good, and what was
    written beside it is removed. One writer at a time: what earlier ones left is removed first. A full disk is an
    OSError, also if a library in Rust or C++ reports it otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_partial_files(path)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(fresh, flags, mode))  # less what the user's umask takes away
    try:
        yield fresh
        sync(fresh)
        rename(fresh, path)
        sync(path.parent)
    except BaseException as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        if isinstance(error, (OSError, SubmodelError)) or not is_disk_full(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def check_no_device(path: Path, option: str, error_type: type[SubmodelError] = BuildError) -> None:
    """Raise `error_type` if the user named a device or a pipe, such as /dev/null or /dev/stdout, with an option.

    `replace_file` would put a file in its place.
    """
    leads_to_proc = is_link(path) and path.readlink().is_relative_to("/proc")  # /dev/stdout, whatever it is now
    if leads_to_proc or (path.exists() and not path.is_file() and not path.is_dir()):
        raise error_type(f"{path} is a device or a pipe; name a file with {option}.")


def _remove_partial_files(path: Path) -> None:
    """Remove what killed writers of `path` left; a link is removed, what it leads to is not."""
    pattern = re.compile(rf"\.{re.escape(path.name)}(\.[0-9a-f]{{16}})?\.partial")
    with os.scandir(path.parent) as entries:
        stale = [entry.path for entry in entries if pattern.fullmatch(entry.name)]
    for name in stale:
        with suppress(OSError):  # a folder of that name is none of ours
            os.unlink(name)  # noqa: PTH108 - of a scandir's name


def rename(source: Path, target: Path) -> None:
    """Give `source` the name `target`, in the place of what had it; waits for some seconds if Windows refuses.

    Raises PermissionError, saying what to do, if another process keeps one of the two open on Windows; OSError as the
    system does.
    """
    for wait_s in (*_RENAME_WAITS_S, None):
        try:
            source.replace(target)
            return
        except OSError as error:
            is_held = isinstance(error, PermissionError) or getattr(error, "winerror", None) == _MAPPED
            if not (is_held and _is_windows()):
                raise
            if wait_s is None:
                why = "it is in use; close what has it open (an editor, say)"
                raise PermissionError(errno.EACCES, why, str(target)) from error
            time.sleep(wait_s)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it; waits for some seconds if Windows refuses.

    Raises OSError if a part of it stays.
    """
    remove_tree(folder)
    for wait_s in _RENAME_WAITS_S if _is_windows() else ():
        if not os.path.lexists(folder):
            return
        time.sleep(wait_s)
        remove_tree(folder)
    if os.path.lexists(folder):
        shutil.rmtree(folder)  # which says what it could not remove


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

    Where two folders can't change names in one step, `target` is missing for up to some seconds then.
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
    """Whether a folder lies at most three levels below one that a build has made (`.submodel/trials/0.5/model`)."""
    for parent in folder.absolute().parents[:3]:
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


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle on a folder to sync
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        _force(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that know no sync have nothing to lose
            raise
    finally:
        os.close(handle)


def _force(handle: int) -> None:
    if sys.platform == "darwin":  # its fsync leaves the data in the drive's cache
        with suppress(OSError):  # a network's or another system's disk knows fsync alone
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


def sync_tree(folder: Path) -> None:
    """Force a folder and all below it to the disk, so that after a power cut the renamed folder is not an empty one."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def _is_windows() -> bool:
    return os.name == "nt"


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
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BuildError(
            f"{folder} can't be written ({error.strerror or error}); choose another folder with -o."
        ) from error

"""Folders that are written whole or not at all, so that a stage never leaves half of something.

Everything is forced to the disk before the folder takes its name, and the name after that: so neither a killed process
nor a power cut leaves less than the old state or the new one. What a killed run leaves beside it (`.NAME.partial`,
`.NAME.replaced`) is put right by the next one.

Nothing is written through a link: a fresh folder is made by the call that names it, and a link that stands where one is
to be put is itself replaced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.errors import BuildError, SubmodelError
from contract.files.disk_calls import remove_tree, sync, sync_tree
from contract.files.disk_errors import is_disk_full, is_out_of_memory
from contract.files.file_names import is_stray
from contract.files.untrusted_json import read_json

IGNORED = "*\n"  # the .gitignore of each folder that a build makes
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

    There is a moment without either folder (`is_being_replaced`); a run that is killed then is put right by the next.
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
            _take_place(fresh, target, retired)
        except BaseException:
            with suppress(OSError):  # what ended the block says more
                drop_folder(fresh)
            raise
        if keep is not None and retired.exists():
            retired.replace(keep)
            sync(keep.parent)
        with suppress(OSError):  # the new one is in place, and the next run removes what is left
            drop_folder(retired)
    except OSError as error:
        if is_out_of_memory(error):  # of what was read in the block
            raise
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
    """Return whether the old folder of a `replace_folder` lies beside `target`, which is missing for a moment then."""
    return os.path.lexists(_retired(target.absolute()))


def check_replaceable(target: Path, *, marker: str, error_type: type[SubmodelError] = BuildError) -> None:
    """Raise `error_type` where `replace_folder` would refuse `target`: to call before long work, too.

    A folder is replaced if it holds nothing, or a file `marker` of ours and no git repository: `-o ~/work` must not
    cost anyone their files.
    """
    if target.is_dir() and not all(is_stray(path.name) for path in target.iterdir()):
        advice = "choose an empty or a new folder with -o"
        if os.path.lexists(target / ".git"):
            raise error_type(f"{target} holds a git repository; {advice}.")
        if not (target / marker).is_file():
            raise error_type(f"{target} holds files but no {marker}; {advice}.")
        if not _is_ours(target / marker):
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


def _take_place(fresh: Path, target: Path, retired: Path) -> None:
    """Put `fresh` in the place of `target`, which then lies at `retired`, if there was one."""
    if os.path.lexists(target):
        target.replace(retired)
    try:
        fresh.replace(target)
    except BaseException:  # Ctrl-C too
        _restore(target, retired)
        raise
    sync(target.parent)


def _restore(target: Path, retired: Path) -> None:
    """Undo a replacement that was cut off between its two renames, or finish cleaning up after one that was not."""
    if os.path.lexists(retired) and not os.path.lexists(target):
        retired.replace(target)
        sync(target.parent)
    drop_folder(retired)


def drop_folder(folder: Path) -> None:
    """Remove a folder under a name that nobody takes for a whole one, and what earlier removals left.

    Of a link only the link is removed.
    """
    doomed = folder.with_name(f"{folder.name}.removed" if folder.name.startswith(".") else f".{folder.name}.removed")
    _discard(doomed)
    if os.path.lexists(folder):
        folder.replace(doomed)
        _discard(doomed)


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)

"""Where a build writes, and whether it can."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.bundle.bundle import WORKSPACE_BUNDLE
from contract.errors import BuildError
from contract.files.disk_calls import check_writable
from contract.files.file_names import is_link_status, is_stray
from contract.files.folders import IGNORED
from contract.files.whole_files import write_text
from contract.repository.git import GitError, GitLimitError, decode_name, run_git

WORKSPACE: Final = WORKSPACE_BUNDLE.parts[0]


@dataclass(frozen=True, kw_only=True)
class BuildPaths:
    """Where a build writes."""

    root: Path

    @property
    def pruned(self) -> Path:
        """The pruned model before fine-tuning, from which another fine-tuning can start."""
        return self.root / "pruned"

    @property
    def model(self) -> Path:
        """The sub-model, a transformers folder."""
        return self.root / "model"

    @property
    def bundle(self) -> Path:
        """The ONNX bundle that is served."""
        return self.root / "bundle"

    @property
    def report(self) -> Path:
        """What people read: one HTML file."""
        return self.root / "report.html"

    @property
    def figures(self) -> Path:
        """The same as JSON, with every answer."""
        return self.root / "report.json"

    @property
    def evaluation(self) -> Path:
        """What `submodel eval` measured last, as JSON; the report shows it too."""
        return self.root / "evaluation.json"

    @property
    def stages(self) -> Path:
        """Records of the finished stages."""
        return self.root / "stages"

    @property
    def base_answers(self) -> Path:
        """What the base has answered in this build and in those before."""
        return self.stages / "base-answers.json"

    @property
    def finetuning_state(self) -> Path:
        """The state of a fine-tuning that has not ended."""
        return self.stages / "finetuning.safetensors"


def remove_leftovers(paths: BuildPaths) -> None:
    """Remove what a finished build has no use for: what killed runs have left."""
    for path in paths.stages.glob(f"*{paths.finetuning_state.name}*"):  # with its seals, and half of one
        with suppress(OSError):
            path.unlink()


def prepare_output(folder: Path) -> None:
    """Make `.submodel` and keep git from seeing it.

    Raises BuildError if it can't be written, if `check_own` refuses it, and if `-o` names a
    folder that holds other things: a report, say, would take the place of another file.
    """
    check_own(folder)
    make_folder(folder)
    ignore = folder / ".gitignore"
    if folder.absolute().name != WORKSPACE and _text_of(ignore) != IGNORED and _holds_foreign(folder):
        raise BuildError(f"{folder} holds files that no build has made; choose an empty or a new folder with -o.")
    if _text_of(ignore) != IGNORED:  # another one may have come with an archive, and git would add the model
        write_text(ignore, IGNORED)


def check_own(folder: Path) -> None:
    """Raise BuildError where the output folder may have come with a repository, or is not this user's.

    That is: where it or anything below it is a link or belongs to another user, and where git tracks anything of it.
    What can't be looked at is refused, too.
    """
    if not os.path.lexists(folder):
        return
    if _is_tracked(folder):
        raise BuildError(
            f"{folder} is tracked by git, so that it may be somebody else's; take it out of git (git rm -r --cached) "
            "and remove it, or choose another folder with -o."
        )
    pending = [folder]
    while pending:  # no recursion: a hostile tree can be deeper than Python's stack
        path = pending.pop()
        try:
            if _is_own_folder(path):
                with os.scandir(path) as entries:
                    pending += [path / entry.name for entry in entries]
        except FileNotFoundError:  # another command of ours renames a file
            continue
        except OSError as error:
            raise BuildError(
                f"{folder} can't be checked ({error.strerror or error}: {path!s:.300}); remove what lies there, or "
                "choose another folder with -o."
            ) from error


def _is_own_folder(path: Path) -> bool:
    """Whether it is a folder; raises BuildError where it is a link or another user's."""
    status = path.lstat()
    if is_link_status(status):
        raise BuildError(f"{path} is a link, and a build writes through none; remove it, or choose a folder with -o.")
    if sys.platform != "win32" and status.st_uid != os.geteuid():
        raise BuildError(f"{path} belongs to another user; remove it, or choose a folder of your own with -o.")
    return stat.S_ISDIR(status.st_mode)


def _holds_foreign(folder: Path) -> bool:
    """Whether a folder without our .gitignore holds anything but what builds and fleets leave."""
    left = (("stages/prune.json",), ("fleet.json", "fleet.html"))
    if any(all((folder / name).is_file() for name in names) for names in left):
        return False
    return any(not is_stray(path.name) and not path.name.startswith("..gitignore.") for path in folder.iterdir())


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text("utf-8") if path.is_file() else None  # a pipe would hang
    except (OSError, ValueError):
        return None


def _is_tracked(folder: Path) -> bool:
    """Whether git knows the folder, or anything in it; names are compared as file systems without cases do.

    Raises BuildError if git's answer goes beyond its limits.
    """
    folder = folder.absolute()
    try:
        names = run_git(folder.parent, "ls-files", "-z", "--cached").split(b"\0")
    except GitLimitError as error:
        raise BuildError(
            f"Whether git tracks {folder} is not known ({error}); choose another folder with -o."
        ) from error
    except GitError:
        return False  # no git, no repository, or not this user's
    return any(decode_name(name).partition("/")[0].casefold() == folder.name.casefold() for name in names if name)


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

"""`.submodelignore` files: what a repository's owner keeps out of every model, in the syntax of `.gitignore`.

They hold for tracked files, too. One lies in any folder of the repository, and holds for what is below it, even if git
ignores it. A line that can't be used is an error, not passed over as in a `.gitignore`: what it names would be learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from contract.errors import CorpusError
from contract.repository.ignore_rules import MAX_BYTES, IgnoreRules, UnusableRuleError, decode_rules
from contract.repository.reading import DELETED, SourceReader, Unreadable

NAME: Final = ".submodelignore"
_UNTIL_MENDED = "No file of the repository is read until that is mended."


def left_out_files(
    top: Path, root: Path, paths: Sequence[str], on_path: Callable[[], None] = lambda: None
) -> frozenset[str]:
    """Return those of the paths (posix, relative to `root`) that a `.submodelignore` file names.

    top: the repository that `root` lies in, else `root`; both are real paths. The files of all folders from `top` down
    to a path hold, listed or not. on_path is called before each path. Raises CorpusError if such a file can't be read
    or used.
    """
    begin = "" if top == root else f"{root.relative_to(top).as_posix()}/"
    reader = SourceReader(top, max_bytes=MAX_BYTES)
    # By folder: the rules that hold in it, or None if it is left out.
    known: dict[str, IgnoreRules | None] = {"": _add(IgnoreRules(), top, reader, "")}
    left_out = set()
    for path in paths:
        on_path()
        folder = ""
        for name in (begin + path).split("/")[:-1]:
            inner = f"{folder}{name}/"
            if inner not in known:
                above = known[folder]
                is_out = above is None or above.is_ignored(inner.removesuffix("/"), is_folder=True)
                known[inner] = None if above is None or is_out else _add(above, top, reader, inner)
            folder = inner
        rules = known[folder]
        if rules is None or rules.is_ignored(begin + path, is_folder=False):
            left_out.add(path)
    return frozenset(left_out)


def _add(rules: IgnoreRules, top: Path, reader: SourceReader, folder: str) -> IgnoreRules:
    """Return these rules and those of the folder's file, if there is one."""
    if folder and not reader.is_folder(folder):
        return rules  # behind a link no file is read
    try:
        return rules.with_file(folder, decode_rules(reader.read(folder + NAME), is_strict=True), is_strict=True)
    except Unreadable as problem:
        if str(problem) == DELETED:
            return rules
        raise CorpusError(f"{top / folder / NAME} can't be read ({problem}). {_UNTIL_MENDED}") from problem
    except UnusableRuleError as problem:
        raise CorpusError(f"{top / folder / NAME}: {problem} {_UNTIL_MENDED}") from problem

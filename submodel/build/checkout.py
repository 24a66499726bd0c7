"""A repository as a build and an update read it, and what is said of what they can't read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from builder.corpus.corpus import Corpus, read_corpus
from contract.console import StageDisplay
from contract.errors import NotNowError
from contract.progress import OnProgress
from contract.repository.git import GitError, advice_on, decode_name, run_git
from contract.repository.listing import why_not_git

# Of it the default minutes of fine-tuning read a few per cent on two cores.
LARGE_CODE_BYTES: Final = 5_000_000
# In git's folder of a working tree while a command waits for its user.
_UNFINISHED: Final = {
    "rebase-merge": "a rebase",
    "rebase-apply/applying": "a series of patches",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a cherry-pick or a revert",  # between two of its commits
    "BISECT_LOG": "a bisection",
}


def read_checkout(repository: Path, display: StageDisplay, advance: OnProgress) -> Corpus:
    """The corpus of a repository. Says what was read, and why git can't list it, for the files may then differ."""
    corpus = read_corpus(repository, on_progress=advance)
    if corpus.git_problem:
        display.say(
            f"git does not list the files of {repository} ({corpus.git_problem}). All files that no .gitignore "
            f"excludes are read. Which lines of a changed file are new is not known."
            f"{advice_on(corpus.git_problem, repository.absolute())}"
        )
    display.say(corpus.say_read())
    if elsewhere := _elsewhere(corpus.skipped):
        display.say(f"Not read: {elsewhere}.")
    return corpus


def check_listed_as_before(corpus: Corpus, manifest: Mapping[str, Any]) -> None:
    """Raise NotNowError if git listed the files of the last version and does not list those of now.

    Else what only git knows to be ignored would be learned: by `.git/info/exclude` and the user's own ignore file.
    manifest: that of the last version's model.
    """
    last = manifest.get("corpus")
    why = why_not_git(corpus.listed_by, corpus.git_problem)
    if why is not None and isinstance(last, dict) and last.get("listed_by") == "git":
        raise NotNowError(
            f"git listed the files of the last version, and does not list those of {corpus.root} now ({why}). So an "
            "update could learn files that git ignores, and none begins. Mend that. `submodel build` would read "
            f"all files that no .gitignore excludes.{advice_on(corpus.git_problem, corpus.root)}"
        )


def check_settled(repository: Path) -> None:
    """Raise NotNowError if git has checked out what nobody works on: no branch, or amid a rebase, a merge or the like.

    A repository that git can't tell of counts as settled.
    """
    try:
        folder = Path(decode_name(run_git(repository, "rev-parse", "--absolute-git-dir").rstrip(b"\r\n")))
    except GitError:
        return
    what = next((what for name, what in _UNFINISHED.items() if os.path.lexists(folder / name)), None)
    if what is not None:
        raise NotNowError(
            f"{what.capitalize()} is not finished in {repository}; finish it, then run `submodel update`."
        )
    try:
        run_git(repository, "symbolic-ref", "--quiet", "HEAD")
    except GitError as error:
        raise NotNowError(
            f"No branch is checked out in {repository}; check one out, or run `submodel update`, which asks for none."
        ) from error


def say_large(corpus: Corpus) -> str | None:
    """What a build's minutes mean for a repository with much code, in words; None of one with less."""
    if corpus.code_bytes <= LARGE_CODE_BYTES:
        return None
    return (
        f"The repository has {corpus.code_bytes / 1e6:,.0f} MB of code. In its minutes of fine-tuning a build reads a "
        "part of it. To learn one folder alone, run `submodel build PATH`"
    )


def _elsewhere(skipped: Mapping[str, int]) -> str:
    """Files of the repository that do not lie here, or are another repository's, in words; "" if there are none."""
    nested, sparse = skipped.get("nested repository", 0), skipped.get("not checked out", 0)
    parts = [
        *(
            [f"{nested:,} {'repository' if nested == 1 else 'repositories'} inside this one, as submodules are"]
            if nested
            else []
        ),
        *([f"{sparse:,} {'file' if sparse == 1 else 'files'} that the sparse checkout leaves out"] if sparse else []),
    ]
    return " and ".join(parts)

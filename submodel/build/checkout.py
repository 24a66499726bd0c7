"""A repository as a build reads it, and what is said of what it can't read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from builder.corpus.corpus import Corpus, read_corpus
from contract.progress import OnProgress
from contract.repository.git import advice_on
from submodel.console import StageDisplay

# Of it the default minutes of fine-tuning read a few per cent on two cores.
LARGE_CODE_BYTES: Final = 5_000_000


def read_checkout(repository: Path, display: StageDisplay, advance: OnProgress) -> Corpus:
    """The corpus of a repository. Says what was read, and why git can't list it, for the files may then differ."""
    corpus = read_corpus(repository, on_progress=advance)
    if corpus.git_problem:
        display.say(
            f"git does not list the files of {repository} ({corpus.git_problem}). All files that no .gitignore "
            f"excludes are read.{advice_on(corpus.git_problem, repository.absolute())}"
        )
    display.say(corpus.say_read())
    if elsewhere := _elsewhere(corpus.skipped):
        display.say(f"Not read: {elsewhere}.")
    return corpus


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

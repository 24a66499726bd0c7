"""Names of what a fleet writes, and how a task ends. Each worker of Ray imports this: it loads nothing heavy.

    NAME/result.json       in the results, beside each bundle: {"remote": ADDRESS, …}
    fleet.json             the index of the results: {"repositories": [{"name": NAME, …}, …], …}

A build's folder of work:

WORK/NAME/build/       what `submodel build -o` writes
WORK/NAME/log.jsonl    what the build says, as of `--progress json`
WORK/NAME/repository/NAME/
the files that git fetched, until the build ends; a title comes from the folder's name
"""

from __future__ import annotations

from typing import Final, TypedDict

RECORD: Final = "result.json"
INDEX: Final = "fleet.json"
PAGE: Final = "fleet.html"  # the same for people
LOG: Final = "log.jsonl"
FETCHED: Final = "repository"


class Outcome(TypedDict, total=False):
    """How a task ended: with `reason` it failed, a sentence."""

    reason: str
    fingerprint: str  # of what was built: a folder may have changed since it was looked at
    machine: str
    seconds: float

"""The program `submodel`: a user's commands.

Each command imports what it needs when it runs, so that `submodel serve` starts without what only `build` needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from submodel.command_line import make_app, run
from submodel.commands.bases import bases
from submodel.commands.build import build
from submodel.commands.complete import complete
from submodel.commands.doctor import doctor
from submodel.commands.eval import evaluate
from submodel.commands.export import export
from submodel.commands.pack import pack, unpack
from submodel.commands.pull import pull
from submodel.commands.serve import serve
from submodel.commands.trust import trust

# `--help` shows the commands in these groups, in this order.
GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Every day": {
        "build": build,
        "serve": serve,
        "complete": complete,
        "bases": bases,
        "doctor": doctor,
    },
    "Share": {
        "pack": pack,
        "unpack": unpack,
        "pull": pull,
        "trust": trust,
        "export": export,
    },
    "Measure": {"eval": evaluate},
}
app = make_app(
    "submodel",
    "Make a small code completion model of your repository, and serve it to your editor, on your own machine.",
    GROUPS,
)
# What is said to a user who stopped a command. What is not named here starts from the beginning.
_CHANGED = "If a file has changed by then, it starts from the beginning"
AGAIN = {
    "build": f"; run it again with the same options to resume. {_CHANGED}",
    "pull": "; files that were fetched whole are kept",
}
# `--force` would repeat what this run has finished. Before its first stage an older build still counts.
AGAIN_AFTER_FORCE = (
    "; to resume, run it again with the same options, but without --force (with it if nothing was pruned yet). "
    f"{_CHANGED}"
)


def main() -> None:
    """Run `submodel`: see `submodel.command_line.run`."""
    run(app, "submodel", _again)


def _again(words: Sequence[str]) -> str:
    command, *options = words
    return AGAIN_AFTER_FORCE if command == "build" and "--force" in options else AGAIN.get(command, "")

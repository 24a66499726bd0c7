"""The program `submodel-fleet`: sub-models of many repositories, and the registry that they are pulled from."""

from __future__ import annotations

from collections.abc import Callable

from fleet.commands.build_fleet import build
from fleet.commands.publish import publish
from submodel.command_line import make_app, run

GROUPS: dict[str, dict[str, Callable[..., None]]] = {"Many repositories": {"build": build, "publish": publish}}
app = make_app(
    "submodel-fleet", "Build the sub-models of many repositories, and publish bundles in a registry.", GROUPS
)


def main() -> None:
    """Run `submodel-fleet`: see `submodel.command_line.run`."""
    run(app, "submodel-fleet", lambda words: "; run it again to resume" if words[0] == "build" else "")

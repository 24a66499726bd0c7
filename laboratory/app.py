"""The program `submodel-lab`: measurements of the product, and studies of pruning."""

from __future__ import annotations

from collections.abc import Callable

from laboratory.commands.bench import bench
from laboratory.commands.compare import compare
from laboratory.commands.prune import prune
from laboratory.commands.replay import replay
from laboratory.commands.sweep import sweep
from submodel.command_line import make_app, run

GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Measure": {"bench": bench, "replay": replay},
    "Study": {"prune": prune, "compare": compare, "sweep": sweep},
}
app = make_app("submodel-lab", "Measure speed and saved keystrokes of a bundle, and study pruning methods.", GROUPS)


def main() -> None:
    """Run `submodel-lab`: see `submodel.command_line.run`."""
    run(app, "submodel-lab", lambda words: "; run it again to resume" if words[0] == "sweep" else "")

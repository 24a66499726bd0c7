"""What other builds, and builds that were killed, have left in the output, once a build has ended."""

from __future__ import annotations

from contextlib import suppress

from submodel.build.paths import BuildPaths


def remove_leftovers(paths: BuildPaths) -> None:
    """Remove what a finished build has no use for: what killed runs have left."""
    for path in paths.stages.glob(f"*{paths.finetuning_state.name}*"):  # with its seals, and half of one
        with suppress(OSError):
            path.unlink()

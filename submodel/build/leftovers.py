"""What other builds, and builds and updates that were killed, have left in the output, once a build has ended."""

from __future__ import annotations

from contextlib import suppress

from contract.files.folders import drop_folder, restore_folder
from submodel.build.history import drop_next_history
from submodel.build.paths import BuildPaths, UpdatePaths


def remove_leftovers(paths: BuildPaths) -> None:
    """Remove what a finished build has no use for: an update of the model before, and what killed runs have left."""
    update = UpdatePaths(root=paths.root)
    with suppress(OSError):
        drop_next_history(paths.stages)
    with suppress(OSError):
        restore_folder(update.result)  # removes what was written beside it
    with suppress(OSError):  # somebody has a file of it open on Windows: it stays whole
        drop_folder(update.result)
    for state in (update.finetuning_state, paths.finetuning_state):
        for path in paths.stages.glob(f"*{state.name}*"):  # with its seals, and half of one
            with suppress(OSError):
                path.unlink()

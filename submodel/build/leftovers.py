"""What other builds, and updates that were killed, have left in the output, once a build has ended."""

from __future__ import annotations

from contextlib import suppress

from contract.files.folders import restore_folder
from contract.files.removal import remove_tree
from submodel.build.history import drop_next_history
from submodel.build.paths import BuildPaths, UpdatePaths


def remove_leftovers(paths: BuildPaths, *, has_trials: bool, has_dense_baseline: bool) -> None:
    """Remove what this build has no use for: gigabytes of other builds' models, and an update of the model before.

    has_trials, has_dense_baseline: this build has made them, and the next one of its kind keeps their stages.
    """
    if not has_trials:
        remove_tree(paths.trials)
    if not has_dense_baseline:
        remove_tree(paths.dense_baseline.root)
    update = UpdatePaths(root=paths.root)
    drop_next_history(paths.stages)
    restore_folder(update.result)  # removes what was written beside it
    remove_tree(update.result)
    for path in paths.stages.glob(f"*{update.finetuning_state.name}*"):  # with its seals, and half of one
        with suppress(OSError):
            path.unlink()

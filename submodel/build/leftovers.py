"""What other builds, and builds that were killed, have left in the output, once a build has ended."""

from __future__ import annotations

from contextlib import suppress

from contract.files.folders import drop_folder
from submodel.build.paths import BuildPaths


def remove_leftovers(paths: BuildPaths, *, has_trials: bool, has_dense_baseline: bool) -> None:
    """Remove what this build has no use for: gigabytes of other builds' models.

    has_trials, has_dense_baseline: this build has made them, and the next one of its kind keeps their stages. A tuned
    dense baseline of the same model is one, too. With it stays the state of a fine-tuning that was killed, since that
    may be the baseline's.
    """
    unused = {paths.trials: not has_trials, paths.dense_baseline.root: not has_dense_baseline}
    for folder in (one for one, is_unused in unused.items() if is_unused):
        with suppress(OSError):  # somebody has a file of it open on Windows: it stays whole
            drop_folder(folder)
    if not has_dense_baseline:
        for path in paths.stages.glob(f"*{paths.finetuning_state.name}*"):  # with its seals, and half of one
            with suppress(OSError):
                path.unlink()

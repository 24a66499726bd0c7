"""What an update goes on from: the model, bundle and history of the last build or update, whole and of one making."""

from __future__ import annotations

from contract.bundle.bundle import is_bundle_of, read_bundle
from contract.bundle.manifest import build_of
from contract.bundle.trusted_builds import check_trusted
from contract.console import StageDisplay
from contract.errors import BuildError
from contract.files.state_folder import VARIABLE
from contract.versions import PROGRAM
from exporters.precision import CANDIDATES, Precision
from submodel.build.history import FILE, NEXT, History, drop_next_history, read_history, take_next_history
from submodel.build.paths import BuildPaths, UpdatePaths
from submodel.build.stages import Stages, adopt_model, hash_of_output


def precision_of_update(asked: str | None, served: Precision) -> Precision:
    """The precision that the build was asked for, if it fell back to the `served` one; else that was chosen since."""
    wanted = served if asked is None else Precision(asked)
    return wanted if served in CANDIDATES.get(wanted, ()) else served


def finish_swap(paths: UpdatePaths, display: StageDisplay) -> bool:
    """Put the model of a killed update in the old one's place if its bundle is there already; whether it was."""
    if read_history(paths.stages, NEXT) is None or not paths.bundle.is_dir():
        return False
    check_trusted(paths.bundle, build_of(paths.bundle))
    if not is_bundle_of(read_bundle(paths.bundle, verify=False).manifest, paths.result):
        drop_next_history(paths.stages)
        return False
    take_place(paths, Stages(paths.stages, display, force=False))
    display.say("The update that was interrupted is finished: its model has taken the old one's place")
    return True


def take_place(paths: UpdatePaths, stages: Stages) -> None:
    """Put the updated model, then its history, in the place of the old ones."""
    adopt_model(stages, paths.result, paths.model, "finetune", "update")
    take_next_history(paths.stages)


def history_to_update(paths: BuildPaths) -> History:
    """The history of the model and the bundle that are there; raises BuildError if an update can't go on from them."""
    history = read_history(paths.stages)
    command = None if history is None else history.command
    asked = f"`{command}`" if command else "`submodel build` with the options of your last build"
    again = f"run {asked}, which makes a new model"
    if history is None and (paths.stages / FILE).is_file():
        raise BuildError(
            f"The record of what the model of {paths.root} has learned from was not made by this account or by this "
            f"version, or its state folder was lost ({VARIABLE} names the folder); {again}."
        )
    if history is None or not paths.bundle.is_dir():
        raise BuildError(f"{paths.root} has no record of what its model has learned from; {again}.")
    if history.program != PROGRAM:
        raise BuildError(
            f"The model of {paths.root} was built by version {history.program} of the build, this is {PROGRAM}; "
            f"{again}."
        )
    if hash_of_output("finetune", paths.model, paths.stages) != history.model_hash:
        raise BuildError(
            f"The model {paths.model} is not what the last build or update made: another base or size was begun, or it "
            f"was changed; {again}."
        )
    check_trusted(paths.bundle, build_of(paths.bundle))
    if not is_bundle_of(read_bundle(paths.bundle, verify=False).manifest, paths.model):
        raise BuildError(
            f"The bundle {paths.bundle} was not made of {paths.model}: it was pulled or unpacked; {again}."
        )
    return history

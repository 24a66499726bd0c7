"""What a build removes of other builds and of killed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from submodel.build.leftovers import remove_leftovers
from submodel.build.paths import BuildPaths

STATE = (  # of a fine-tuning that was killed
    "stages/finetuning.safetensors",
    "stages/finetuning.safetensors.seals",
    "stages/.finetuning.safetensors.0123456789abcdef.partial",
)
LEFT = (
    "trials/0.5/model/model.safetensors",
    "dense-baseline/model/model.safetensors",
    *STATE,
)
OURS = ("model/model.safetensors", "stages/finetune.json")


@pytest.mark.parametrize(
    ("has_trials", "has_dense_baseline", "kept"),
    [(False, False, ()), (True, False, LEFT[:1]), (False, True, (LEFT[1], *STATE))],
)
def test_only_what_the_next_build_of_its_kind_keeps_stays(
    tmp_path: Path, has_trials: bool, has_dense_baseline: bool, kept: tuple[str, ...]
) -> None:
    for name in (*LEFT, *OURS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for _ in range(2):  # the second time there is nothing to remove
        remove_leftovers(BuildPaths(root=tmp_path), has_trials=has_trials, has_dense_baseline=has_dense_baseline)
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        assert left == {*OURS, *kept}


def test_a_folder_that_somebody_has_open_stays_whole_and_the_build_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "a file of it is open", str(source))

    monkeypatch.setattr("contract.files.folders.rename", refuse)
    files = [tmp_path / "dense-baseline" / name for name in ("model/config.json", "model/model.safetensors")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    remove_leftovers(BuildPaths(root=tmp_path), has_trials=False, has_dense_baseline=False)
    assert all(file.exists() for file in files)

"""What a build removes of other builds and of killed ones."""

from __future__ import annotations

from pathlib import Path

from submodel.build.paths import BuildPaths, remove_leftovers

LEFT = (
    "stages/finetuning.safetensors",
    "stages/finetuning.safetensors.seals",
    "stages/.finetuning.safetensors.0123456789abcdef.partial",
)
OURS = ("model/model.safetensors", "stages/finetune.json")


def test_only_what_the_next_build_keeps_stays(tmp_path: Path) -> None:
    for name in (*LEFT, *OURS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for _ in range(2):  # the second time there is nothing to remove
        remove_leftovers(BuildPaths(root=tmp_path))
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        assert left == set(OURS)

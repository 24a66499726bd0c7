"""Reads what a sparse model has kept of its base: the masks that `submodel-lab prune` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.artifact import MANIFEST
from contract.errors import BuildError
from contract.files.untrusted_json import read_json
from laboratory.sparsity.mask_file import MASKS, MaskFile
from laboratory.sparsity.overlap import KeptUnits, choice_of


@dataclass(frozen=True, kw_only=True)
class Region:
    """One model. `parts`: names such as `layers.3.mlp.up_proj`."""

    name: str
    manifest: Mapping[str, Any]
    parts: tuple[str, ...]
    masks: MaskFile

    def read(self, part: str) -> KeptUnits:
        """Return what is kept of one part."""
        return choice_of(self.masks.read(part))

    @property
    def dataset(self) -> tuple[str, ...]:
        """What the model was calibrated on, comparable between models."""
        return tuple(self.manifest["calibration"]["fingerprints"])

    @property
    def method(self) -> str:
        """Method, base and number format, without seed, dataset and form of text, comparable between models."""
        base, dtype = self.manifest["base"].get("sha256"), self.manifest.get("dtype")
        asked = [self.manifest["sparsity"].get(key) for key in ("method", "sparsity")]
        return json.dumps([asked, base, dtype, self.manifest["calibration"].get("tokens")], sort_keys=True)

    @property
    def prompt_format(self) -> str:
        """How the calibration text was written."""
        return str(self.manifest["calibration"]["prompt_format"])

    @property
    def seed(self) -> int:
        """The seed of the calibration."""
        return int(self.manifest.get("seeds", {}).get("calibration", 0))


def read_region(folder: Path, name: str) -> Region:
    """Return the region of a folder of `submodel-lab prune`; raise BuildError for any other."""
    manifest = _read(folder / MANIFEST)
    if not (folder / MASKS).is_file():
        raise BuildError(f"{folder} holds no {MASKS}; give folders of `submodel-lab prune`.")
    masks = MaskFile(folder / MASKS)
    region = Region(name=name, manifest=manifest, parts=masks.names, masks=masks)
    try:
        _ = region.method, region.dataset, region.seed, region.prompt_format
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder, MANIFEST) from error
    return region


def _read(path: Path) -> dict[str, Any]:
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} can't be read ({error}); give folders of `submodel-lab prune`.") from error
    if not isinstance(document, dict):
        raise _damaged(path.parent, path.name)
    return document


def _damaged(folder: Path, name: str) -> BuildError:
    return BuildError(f"{folder / name} is not as `submodel-lab prune` writes it; prune again.")


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return a name for each folder: the last part of its path, or the whole path if others share that part."""
    whole = [folder.resolve() for folder in folders]
    names = [path.name for path in whole]
    return [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]

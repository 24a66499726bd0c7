"""Reads what a model has kept of its base: masks of a sparse folder, channels and tokens of a structured one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from builder.artifact import MANIFEST
from builder.checkpoint_writer import PLAN
from contract.errors import BuildError
from contract.files.untrusted_json import read_json
from laboratory.sparsity.mask_file import MASKS, MaskFile
from laboratory.sparsity.overlap import KeptUnits, choice_of

TOKENS: Final = "tokens"  # the part that belongs to no layer
CHANNELS: Final = "mlp.channels"


@dataclass(frozen=True, kw_only=True)
class Region:
    """One model. `parts`: names such as `layers.3.mlp.up_proj`, `layers.3.mlp.channels` or `tokens`."""

    name: str
    manifest: Mapping[str, Any]
    parts: tuple[str, ...]
    masks: MaskFile | None = None
    choices: Mapping[str, KeptUnits] | None = None

    def read(self, part: str) -> KeptUnits:
        """Return what is kept of one part."""
        if self.masks is not None:
            return choice_of(self.masks.read(part))
        assert self.choices is not None
        return self.choices[part]

    @property
    def dataset(self) -> tuple[str, ...]:
        """What the model was calibrated on, comparable between models."""
        facts = self._calibration
        if "fingerprints" in facts:
            return tuple(facts["fingerprints"])
        return (str(self.manifest.get("corpus", {}).get("fingerprint", self.name)),)

    @property
    def method(self) -> str:
        """Method, base and number format, without seed, dataset and form of text, comparable between models."""
        base, dtype = self.manifest["base"].get("sha256"), self.manifest.get("dtype")
        if self.masks is None:
            return json.dumps(["structured", base, dtype, self.manifest["settings"]["size"]], sort_keys=True)
        asked = [self.manifest["sparsity"].get(key) for key in ("method", "sparsity")]
        return json.dumps([asked, base, dtype, self._calibration.get("tokens")], sort_keys=True)

    @property
    def prompt_format(self) -> str:
        """How the calibration text was written; the structured method knows one form alone."""
        return str(self._calibration.get("prompt_format", ""))

    @property
    def seed(self) -> int:
        """The seed of the calibration."""
        return int(self.manifest.get("seeds", {}).get("calibration", 0))

    @property
    def _calibration(self) -> Mapping[str, Any]:
        """What `submodel-lab prune` wrote about calibration; those of a structured folder are in `datasets`."""
        reported = self.manifest.get("datasets") or self.manifest.get("calibration") or {}
        return reported if isinstance(reported, dict) else {}


def read_region(folder: Path, name: str) -> Region:
    """Return the region of a folder of `submodel-lab prune` or `submodel build`; raise BuildError for any other."""
    if not (folder / MANIFEST).is_file() and (folder / "model" / MANIFEST).is_file():
        folder = folder / "model"  # .submodel, as a build leaves it
    manifest = _read(folder / MANIFEST)
    if (folder / MASKS).is_file():
        masks = MaskFile(folder / MASKS)
        region = Region(name=name, manifest=manifest, parts=masks.names, masks=masks)
    elif (folder / PLAN).is_file():
        plan = _read(folder / PLAN)
        try:
            choices = _structured(manifest, plan)
        except (LookupError, TypeError, ValueError) as error:
            raise _damaged(folder, PLAN) from error
        region = Region(name=name, manifest=manifest, parts=tuple(choices), choices=choices)
    else:
        raise BuildError(f"{folder} holds neither {MASKS} nor {PLAN}; give folders of `submodel-lab prune` or `build`.")
    try:
        _ = region.method, region.dataset, region.seed
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder, MANIFEST) from error
    return region


def _read(path: Path) -> dict[str, Any]:
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} can't be read ({error}); give folders of `submodel-lab prune` or `build`.") from error
    if not isinstance(document, dict):
        raise _damaged(path.parent, path.name)
    return document


def _damaged(folder: Path, name: str) -> BuildError:
    return BuildError(f"{folder / name} is not as `submodel-lab prune` or `build` writes it; prune again.")


def _structured(manifest: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, KeptUnits]:
    facts = manifest["plan"]
    width = facts["feed_forward_width"]["base"]
    # If no layer was narrowed, the plan lists no channels: all are kept.
    channels = plan["channels"] or [range(width)] * facts["layers"]
    choices = {
        f"layers.{layer}.{CHANNELS}": choice_of(_bits(kept, width))
        for layer, kept in zip(range(facts["layers"]), channels, strict=True)
    }
    return choices | {TOKENS: choice_of(_bits(plan["kept_token_ids"], facts["vocabulary"]["base"]))}


def _bits(kept: Sequence[int], size: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    bits = np.zeros(size, dtype=np.bool_)
    bits[list(kept)] = True
    return bits


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return a name for each folder: the last part of its path, or the whole path if others share that part."""
    whole = [folder.resolve() for folder in folders]
    names = [path.parent.name if path.name == ".submodel" else path.name for path in whole]
    return [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]

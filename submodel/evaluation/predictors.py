"""What `--model` names, opened for scoring: the base, a checkpoint folder, a bundle folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from builder.artifact import SubModel, read_artifact
from builder.bases.catalogue import CATALOGUE
from builder.bases.folder_model import read_folder_model
from builder.bases.load import load_resolved
from builder.bases.resolve import AUTO, ResolvedBase, find_on_disk, resolve_base
from builder.corpus.corpus import SourceFile
from builder.evaluation.infill import InfillEncoder
from builder.evaluation.scoring import Scorable
from builder.evaluation.torch_predictor import TorchPredictor
from contract.bundle.bundle import read_bundle
from contract.bundle.manifest import MANIFEST_FILE, build_of
from contract.bundle.trusted_builds import check_trusted
from contract.documents import SUB_MODEL
from contract.errors import BuildError
from contract.progress import OnEvent
from contract.prompt import PromptEncoder
from submodel.build.paths import BuildPaths, check_own
from submodel.evaluation.bundle_predictor import BundlePredictor


@dataclass(frozen=True, kw_only=True)
class ScoredModel:
    """A model by its name in the table. Without a folder it is the base."""

    name: str
    folder: Path | None

    @property
    def is_bundle(self) -> bool:
        """Whether it is an ONNX bundle, not a checkpoint."""
        return self.folder is not None and (self.folder / MANIFEST_FILE).is_file()


def find_candidates(asked: list[str], root: Path) -> list[ScoredModel]:
    """The models that were asked for, or the base and the sub-model of `root` (.submodel), if there is one.

    Raises BuildError where a name is neither "base" nor "sub-model" and no folder either, BundleError where the
    sub-model of `root`, its bundle, is not trusted. A model that is named by its folder is taken as it is.
    """
    own = BuildPaths(root=root).bundle
    if not asked:
        asked = ["base", *([SUB_MODEL] if own.is_dir() else [])]
    candidates = []
    for name in asked:
        folder = {"base": None, SUB_MODEL: own}.get(name, Path(name))
        if folder is not None and not folder.is_dir():
            hint = "run `submodel build` first" if folder == own else "give base, sub-model or a model's folder"
            raise BuildError(f"There is no model {name!r} ({folder} is no folder); {hint}.")
        if name == SUB_MODEL:
            check_own(root)
            check_trusted(own, build_of(own))
        candidates.append(ScoredModel(name=name, folder=folder))
    return candidates


def base_of(candidates: list[ScoredModel], asked: str | None) -> str:
    """Which base the models are compared with: what was asked for, else what the first checkpoint was made from.

    Raises BuildError if the base is to be scored and that checkpoint names one outside of the catalogue: a manifest
    decides neither what is fetched from the model hub nor which folder is read. Also if one was asked for, and no base
    is scored.
    """
    if asked is not None:
        if all(one.folder is not None for one in candidates):
            raise BuildError("--base names the base that is scored, and none is; add --model base, or leave it out.")
        return asked
    for candidate in candidates:
        if known := _manifest(candidate).get("base"):
            name = known.get("name") if isinstance(known, Mapping) else None
            if (isinstance(name, str) and name in CATALOGUE) or all(one.folder is not None for one in candidates):
                return str(name)
            raise BuildError(
                f"{candidate.folder} was made from {name!r}, which is none of the known bases; say where it is with "
                "--base, or leave the base out with --model."
            )
    return AUTO


def open_predictor(
    candidate: ScoredModel, base: str, dtype: torch.dtype, say: OnEvent, beside: Sequence[ScoredModel] = ()
) -> Scorable:
    """The model in memory, ready to be scored; says so if one of those `beside` it was made from another base."""
    if candidate.folder is None:
        found = resolve_base(base, on_event=say)
        _compare_base(found, beside, say)
        loaded = load_resolved(found, dtype=dtype, on_event=say)
        predictor = TorchPredictor(candidate.name, loaded.model, InfillEncoder(loaded.tokenizer, loaded.prompt))
        predictor.bytes = found.weight_bytes
        return predictor
    if candidate.is_bundle:
        return BundlePredictor(read_bundle(candidate.folder), candidate.name)
    source = read_artifact(candidate.folder)
    if source.manifest is None:
        loaded = load_resolved(find_on_disk(candidate.folder.absolute()), dtype=dtype, on_event=say)
        return TorchPredictor(candidate.name, loaded.model, PromptEncoder(loaded.tokenizer, loaded.prompt))
    return open_checkpoint(candidate.name, source, dtype)


def _compare_base(found: ResolvedBase, candidates: Sequence[ScoredModel], say: OnEvent) -> None:
    """Say so if a model was made from other weights than those of the base that was found under the same name."""
    for candidate in candidates:
        made_from = _manifest(candidate).get("base")
        sha256 = made_from.get("sha256") if isinstance(made_from, Mapping) else None
        if sha256 and sha256 != found.sha256:
            say(
                f"{candidate.folder} was made from other weights than those of {found.name} ({found.source}), which "
                "are scored as the base; name the base that it was made from with --base."
            )


def open_checkpoint(name: str, source: SubModel, dtype: torch.dtype) -> TorchPredictor:
    """A sub-model's folder as a predictor; raises BaseModelError or BuildError if it can't be read."""
    model = read_folder_model(source.folder, dtype)
    return TorchPredictor(name, model, PromptEncoder(source.tokenizer(), source.prompt))


def files_held_out_from(candidates: list[ScoredModel], files: Sequence[SourceFile]) -> frozenset[str] | None:
    """SHA-256 of the texts that every build of this repository held out; None where none of the models is from it.

    A model of another repository (by the texts that its build knew, none of which is here) limits nothing.
    """
    here = {file.sha256 for file in files}
    lists = []
    for candidate in candidates:
        manifest = _manifest(candidate)
        held_out, learned = (frozenset(manifest.get(key, ())) for key in ("held_out_sha256", "learned_sha256"))
        if here & (held_out | learned):
            lists.append(held_out)
    return frozenset.intersection(*lists) if lists else None


def _manifest(candidate: ScoredModel) -> Mapping[str, Any]:
    if candidate.folder is None:
        return {}
    if candidate.is_bundle:
        return read_bundle(candidate.folder, verify=False).manifest
    return read_artifact(candidate.folder).manifest or {}

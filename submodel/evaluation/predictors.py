"""What `--model` names, opened for scoring: the base, a checkpoint folder, a bundle folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from builder.artifact import SubModel, read_artifact
from builder.bases.load import load_base, load_resolved
from builder.bases.resolve import resolve_base
from builder.corpus.corpus import SourceFile
from builder.errors import BuildError
from builder.evaluation.infill import InfillEncoder
from builder.evaluation.scoring import Predictor
from builder.evaluation.torch_predictor import TorchPredictor
from builder.prompt import PromptEncoder
from exporters.bundle import MANIFEST_FILE, build_of, read_bundle
from exporters.trust import check_trusted
from submodel.evaluation.bundle_predictor import BundlePredictor

Say = Callable[[str], None]


OWN_BUNDLE = "bundle"  # the name of the workspace's


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model by its name in the table. Without a folder it is the base."""

    name: str
    folder: Path | None

    @property
    def is_bundle(self) -> bool:
        """Whether it is an ONNX bundle, not a checkpoint."""
        return self.folder is not None and (self.folder / MANIFEST_FILE).is_file()


def find_candidates(asked: list[str], root: Path) -> list[Candidate]:
    """The models that were asked for, or all that `root` (.submodel) has beside the base.

    Raises BuildError where a name is none of "base", "sub-model", "bundle" and no folder either, and BundleError where
    the bundle of `root` is not trusted, unless it is named by its folder.
    """
    candidates = _list_candidates(asked, root)
    for candidate in candidates:
        if candidate.name == OWN_BUNDLE and candidate.is_bundle and candidate.folder is not None:
            check_trusted(candidate.folder, build_of(candidate.folder))
    return candidates


def _list_candidates(asked: list[str], root: Path) -> list[Candidate]:
    own = {"sub-model": root / "model", OWN_BUNDLE: root / "bundle"}
    if not asked:
        return [
            Candidate(name="base", folder=None),
            *(Candidate(name=name, folder=folder) for name, folder in own.items() if folder.is_dir()),
        ]
    candidates = []
    for name in asked:
        folder = None if name == "base" else own.get(name, Path(name))
        if folder is not None and not folder.is_dir():
            hint = "run `submodel build` first" if name in own else "give base, sub-model, bundle or a model's folder"
            raise BuildError(f"There is no model {name!r} ({folder} is no folder); {hint}.")
        candidates.append(Candidate(name=name, folder=folder))
    return candidates


def base_of(candidates: list[Candidate], asked: str | None) -> str:
    """Which base the models are compared with: what was asked for, else what the first checkpoint was made from."""
    if asked is not None:
        return asked
    for candidate in candidates:
        if known := _manifest(candidate).get("base"):
            return str(known["name"])
    return "auto"


def open_predictor(candidate: Candidate, base: str, dtype: torch.dtype, say: Say) -> Predictor:
    """The model in memory, ready to be scored."""
    if candidate.folder is None:
        loaded = load_resolved(resolve_base(base, on_event=say), dtype=dtype, on_event=say)
        return TorchPredictor(candidate.name, loaded.model, InfillEncoder(loaded.tokenizer, loaded.prompt))
    if candidate.is_bundle:
        predictor = BundlePredictor(read_bundle(candidate.folder))
        predictor.name = candidate.name
        return predictor
    source = read_artifact(candidate.folder)
    if source.manifest is None:
        loaded = load_base(str(candidate.folder), dtype=dtype, on_event=say)
        return TorchPredictor(candidate.name, loaded.model, PromptEncoder(loaded.tokenizer, loaded.prompt))
    return open_checkpoint(candidate.name, source, dtype)


def open_checkpoint(name: str, source: SubModel, dtype: torch.dtype) -> TorchPredictor:
    """A sub-model's folder as a predictor."""
    model = AutoModelForCausalLM.from_pretrained(source.folder, dtype=dtype, local_files_only=True).eval()
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    return TorchPredictor(name, model, PromptEncoder(tokenizer, source.prompt))


def files_held_out_from(candidates: list[Candidate], files: Sequence[SourceFile]) -> frozenset[str] | None:
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


def _manifest(candidate: Candidate) -> Mapping[str, Any]:
    if candidate.folder is None:
        return {}
    if candidate.is_bundle:
        return read_bundle(candidate.folder, verify=False).manifest
    return read_artifact(candidate.folder).manifest or {}

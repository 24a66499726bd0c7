"""Exports a checkpoint as a bundle: graph, precision, parity check, and the files that other runtimes need.

The bundle takes its place as a whole, after the check has passed. Until then an older one stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from builder.artifact import SubModel, read_artifact
from builder.bases.catalogue import MODEL_TYPES
from builder.bases.load import LoadedBase, load_base, load_resolved
from builder.bases.model_config import unsupported
from builder.bases.resolve import find_on_disk
from builder.memory import give_back_memory
from builder.versions import installed_versions
from contract.bundle.bundle import (
    CHECKPOINT_MANIFEST,
    DECODE_GRAPH_LAYOUT,
    Architecture,
    Bundle,
    copy_files,
    read_bundle,
    replace_bundle,
)
from contract.bundle.drafts import FOLDER, build_index, write_index
from contract.bundle.manifest import (
    MAX_MANIFEST_BYTES,
    MODEL_FILE,
    TOKENIZER_FILE,
    complete_manifest,
    write_manifest,
    write_manifest_of,
)
from contract.bundle.trusted_builds import check_trusted
from contract.documents import ListingFacts, Manifest, VariantFacts
from contract.errors import BundleError, ExportError
from contract.files.untrusted_json import read_json
from contract.progress import OnEvent, OnProgress, no_event, no_progress, part_of
from contract.prompt import PromptEncoder
from exporters.checkpoint_reader import Checkpoint, DecoderShape, read_config
from exporters.configuration_files import describe_graphs, write_configs
from exporters.graph_writer import GraphWriter
from exporters.parity import ExportSettings, ParityReport
from exporters.precision import VARIANT_FILES, Precision
from exporters.prompts import choose_prompts
from exporters.reference import Reference, compute_references

VERSIONED = ("submodel", "onnx-ir", "onnxruntime", "tokenizers", "torch", "transformers")
_MADE_BY = ("plan", "finetuning", "learned_sha256")  # keys of the manifests of a checkpoint and of its bundle
# What the sub-model's manifest knows and a bundle's reader may ask for.
INHERITED = (
    "base",
    "licence",
    "parameters",
    "plan",
    "calibration",
    "finetuning",
    "held_out_sha256",
    "learned_sha256",
)

# Rough shares of an export's time: the checkpoint's own answers, the float32 graph, the quantized one.
PARTS = ((0, 0.45), (0.45, 0.65), (0.65, 1))


def export_any(
    model_folder: Path,
    bundle_folder: Path,
    settings: ExportSettings,
    *,
    on_event: OnEvent = no_event,
    on_progress: OnProgress = no_progress,
) -> Bundle:
    """Export with our decode graph where the architecture fits it, else through optimum (for other runtimes only).

    A Llama or Qwen2 with something that our graph does not do goes through optimum in fp32 alone.
    """
    config = read_config(model_folder)
    is_fp32 = settings.precision is Precision.FP32
    if config["model_type"] in MODEL_TYPES and not (is_fp32 and unsupported(config)):
        return export_bundle(model_folder, bundle_folder, settings, on_event=on_event, on_progress=on_progress)
    from exporters.optimum_export import export_with_optimum  # takes seconds; the usual export does not need it

    return export_with_optimum(model_folder, bundle_folder, settings, on_event=on_event)


def export_bundle(
    model_folder: Path,
    bundle_folder: Path,
    settings: ExportSettings,
    *,
    drafts: Iterable[Sequence[int]] = (),
    on_event: OnEvent = no_event,
    on_progress: OnProgress = no_progress,
) -> Bundle:
    """Export a sub-model, or any Llama- or Qwen2-shaped checkpoint, and check it; return the bundle as read back.

    drafts: the repository's files as token ids, a sequence each, for speculative decoding (`contract.bundle.drafts`).
    A bundle of the same sub-model that lies in `bundle_folder` gives its drafts if there are no others, and
    is no earlier version to go back to.
    `on_event` gets a sentence at the beginning of each step; `on_progress` (done, of all) is the progress of the whole.
    Raises ExportError if the checkpoint does not fit, the parity check fails or the folder can't be written, and
    BuildError or BaseModelError if `model_folder` is no model.
    """
    source = read_artifact(model_folder)
    model_type = read_config(model_folder)["model_type"]
    if model_type not in MODEL_TYPES:
        raise ExportError(
            f"The model in {model_folder} is of the type {model_type!r}; the decode graph is for "
            f"{' and '.join(MODEL_TYPES)} only; `submodel export --quantize fp32` takes others through optimum."
        )
    checkpoint = Checkpoint(model_folder)
    on_references, on_float32, on_quantized = (part_of(on_progress, *part) for part in PARTS)
    same = _bundle_of(source, bundle_folder)
    kept = {"drafts": same.manifest["drafts"]} if same is not None and "drafts" in same.manifest else {}
    with replace_bundle(bundle_folder, keeps_previous=same is None) as fresh:
        loaded = _load(source)
        references = _references(source, loaded, settings, checkpoint.shape, on_event, on_references)
        facts = _facts(source, loaded)
        end_ids = PromptEncoder(loaded.tokenizer, loaded.prompt).answer_ends()
        _write_tokenizer(fresh, source, loaded)
        del loaded  # the float32 model makes room for the sessions
        give_back_memory()

        writer = GraphWriter(checkpoint=checkpoint, references=references, settings=settings, on_event=on_event)
        float32 = writer.write_float32(fresh, on_float32)
        on_float32(1, 1)
        precision, report = Precision.FP32, float32
        if settings.precision is not Precision.FP32:
            precision, report = writer.write_quantized(fresh / MODEL_FILE, float32, on_quantized)
        write_configs(fresh, checkpoint, end_ids)
        describe_graphs(fresh, {MODEL_FILE: str(precision)})
        facts |= _write_drafts(fresh, drafts, same)
        write_manifest(
            fresh, complete_manifest(fresh, {**kept, **_manifest(facts, checkpoint.shape, precision, report)})
        )
    return read_bundle(bundle_folder, verify=False)  # its files were hashed just now


def add_precision(
    model_folder: Path,
    bundle_folder: Path,
    settings: ExportSettings,
    *,
    on_event: OnEvent = no_event,
    on_progress: OnProgress = no_progress,
) -> Bundle:
    """Add a graph in another precision to the bundle of the same checkpoint, under the name that transformers.js wants.

    onnx/model.onnx does not change. Raises ExportError if the bundle is another model's, if its onnx/model.onnx has
    this precision already, or the one that this one falls back to, or if the parity check fails. Raises BundleError if
    `bundle_folder` is no bundle, or none that this account made or trusts, since the result is put on the list of
    trusted bundles.
    """
    old = read_bundle(bundle_folder)
    check_trusted(bundle_folder, old.build)
    if settings.precision not in VARIANT_FILES or str(settings.precision) == old.manifest["quantization"]:
        raise ExportError(
            f"{bundle_folder} keeps {settings.precision} as {MODEL_FILE} or not at all; export it anew without --add."
        )
    source = read_artifact(model_folder)
    checkpoint = Checkpoint(model_folder)
    on_references, on_float32, on_quantized = (part_of(on_progress, *part) for part in PARTS)
    with replace_bundle(bundle_folder, keeps_previous=False) as fresh:
        loaded = _load(source)
        _write_tokenizer(fresh, source, loaded)
        is_same = (fresh / TOKENIZER_FILE).read_bytes() == old.tokenizer_path.read_bytes()
        is_same = is_same and _is_made_of(old.manifest, source, loaded)
        if not is_same or _architecture(checkpoint.shape) != old.architecture:
            raise ExportError(f"{bundle_folder} is the bundle of another model than {model_folder}; give its own.")
        references = _references(source, loaded, settings, checkpoint.shape, on_event, on_references)
        del loaded
        writer = GraphWriter(checkpoint=checkpoint, references=references, settings=settings, on_event=on_event)
        report = writer.write_float32(fresh, on_float32)
        on_float32(1, 1)
        file, main = VARIANT_FILES[settings.precision], old.manifest["quantization"]
        precision, report = writer.write_quantized(fresh / file, report, on_quantized)
        if precision == main:
            raise ExportError(
                f"{bundle_folder} keeps {main}, which {settings.precision} falls back to, as {MODEL_FILE}; nothing was "
                "added."
            )
        copy_files(old, fresh)
        variants = {name: one for name, one in old.manifest.get("variants", {}).items() if one["file"] != file}
        variants[str(settings.precision)] = VariantFacts(
            file=file, quantization=str(precision), parity=report.to_json()
        )
        described = {one["file"]: one["quantization"] for one in variants.values()}
        describe_graphs(fresh, {MODEL_FILE: main, **described})
        kept = {key: value for key, value in old.manifest.items() if key not in ("schema", "files")}
        write_manifest_of(fresh, {**kept, "variants": variants})
    return read_bundle(bundle_folder, verify=False)  # its files were hashed just now


def _load(source: SubModel) -> LoadedBase:
    """Return the model in float32. That of a sub-model is not hashed: its manifest says where it comes from."""
    folder = source.folder.absolute()
    if source.manifest is None:
        return load_base(str(folder), dtype=torch.float32)
    return load_resolved(find_on_disk(folder), dtype=torch.float32)


def _write_drafts(fresh: Path, drafts: Iterable[Sequence[int]], same: Bundle | None) -> dict[str, Any]:
    """Write the drafts, or if there are none copy those of the `same` model's bundle; returns their facts."""
    index = build_index(drafts)
    if len(index.tokens):
        write_index(index, fresh / FOLDER)
        return {"drafts": {"tokens": len(index.tokens)}}
    if same is not None:
        copy_files(same, fresh, below=FOLDER)
    return {}


def _references(
    source: SubModel,
    loaded: LoadedBase,
    settings: ExportSettings,
    shape: DecoderShape,
    on_event: OnEvent,
    on_progress: OnProgress,
) -> list[Reference]:
    encoder, parity = PromptEncoder(loaded.tokenizer, loaded.prompt), settings.parity
    prompts = choose_prompts(source, encoder, parity, max_positions=shape.max_positions)
    logit_prompts = set(range(parity.logit_prompts))
    if settings.precision is Precision.FP32:
        logit_prompts.add(len(prompts) - 1)  # the longest; a quantized graph is asked on all prompts anyway
    on_event(f"Asking the checkpoint itself on {len(prompts)} prompts")
    return compute_references(
        loaded.model,
        prompts,
        continuation_tokens=parity.continuation_tokens,
        stop_ids=encoder.stop_ids,
        logit_prompts=logit_prompts,
        logit_positions=parity.logit_positions,
        batch_size=parity.batch_size,
        on_progress=on_progress,
    )


def _bundle_of(source: SubModel, bundle_folder: Path) -> Bundle | None:
    """Return the bundle that lies there, if it is whole, of this very sub-model, and one that this account trusts."""
    try:
        bundle = read_bundle(bundle_folder)
        check_trusted(bundle_folder, bundle.build)
    except BundleError:
        return None
    return bundle if source.manifest is not None and _is_bundle_of(bundle.manifest, source.folder) else None


def _is_bundle_of(manifest: Mapping[str, Any], model: Path) -> bool:
    """Whether a bundle's manifest has the facts of the checkpoint in a folder: no two fine-tunings have the same."""
    try:
        made_of = read_json(model / CHECKPOINT_MANIFEST, MAX_MANIFEST_BYTES)
    except (OSError, ValueError):
        return False
    return isinstance(made_of, dict) and all(made_of.get(name) == manifest.get(name) for name in _MADE_BY)


def _is_made_of(manifest: Manifest, source: SubModel, loaded: LoadedBase) -> bool:
    """Return whether a bundle's manifest is of this model: another fine-tuning has the same tokenizer and shapes."""
    if source.manifest is not None:
        return _is_bundle_of(manifest, source.folder)
    return manifest["base"].get("sha256") == loaded.provenance.get("sha256")


def _facts(source: SubModel, loaded: LoadedBase) -> dict[str, Any]:
    """Return what a bundle's manifest says of its model."""
    known = source.manifest or {
        "base": loaded.provenance,
        "licence": loaded.provenance["licence"],
        "parameters": loaded.model.num_parameters(),
    }
    facts = {name: known[name] for name in INHERITED if name in known}
    base = {key: value for key, value in known["base"].items() if key != "why"}  # it may name folders of this machine
    corpus = known.get("corpus")
    if isinstance(corpus, dict):  # the server counts changes by it
        facts["corpus"] = {name: corpus[name] for name in ListingFacts.__annotations__ if name in corpus}
    return {**facts, "base": base, "prompt": loaded.prompt.to_json()}


def _write_tokenizer(fresh: Path, source: SubModel, loaded: LoadedBase) -> None:
    """Write a sub-model's tokenizer as it is, and a foreign one with its control tokens marked as such."""
    if source.manifest is not None:
        shutil.copyfile(source.folder / TOKENIZER_FILE, fresh / TOKENIZER_FILE)
    else:
        loaded.tokenizer.save(str(fresh / TOKENIZER_FILE))


def _manifest(
    facts: Mapping[str, Any], shape: DecoderShape, precision: Precision, report: ParityReport
) -> dict[str, Any]:
    return {
        "layout": DECODE_GRAPH_LAYOUT,
        **facts,
        "quantization": str(precision),
        "architecture": _architecture(shape).to_json(),
        "parity": report.to_json(),
        "versions": installed_versions(VERSIONED),
    }


def _architecture(shape: DecoderShape) -> Architecture:
    return Architecture(
        layers=shape.layers,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        hidden_size=shape.hidden_size,
        vocab_size=shape.vocab_size,
        max_positions=shape.max_positions,
    )

"""The bundle: the folder that the exporter writes and that every reader of ours trusts.

It is found, checked and replaced as a whole. Its manifest is `contract.bundle.manifest`, and what is inside the ONNX
file `exporters.graph`. Nothing heavy is imported: the language server starts from here.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from contract.bundle.manifest import (
    AGAIN,
    MANIFEST_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    build_of,
    read_build_and_manifest,
)
from contract.bundle.previous import forget_older, mark_newest, place_for
from contract.bundle.trusted_builds import check_trusted, trust_build, trusted_folder
from contract.documents import ArchitectureFacts, FileFacts, Manifest
from contract.errors import BuildError, BundleError, ExportError, NewerBundleError
from contract.files.file_hash import hash_file
from contract.files.file_names import is_link
from contract.files.folders import replace_folder
from contract.files.home import folders_up
from contract.prompt import PromptFormat

CHECKPOINT_MANIFEST = "manifest.json"  # of the sub-model that a bundle is exported from
DECODE_GRAPH_LAYOUT = "decode-graph"  # what our engine runs
OPTIMUM_LAYOUT = "optimum"  # other architectures, for ORTModelForCausalLM and transformers.js
WORKSPACE_BUNDLE = Path(".submodel") / "bundle"
MAX_CACHE_BYTES = 64 << 30  # of keys and values; a laptop has less, and a number that is wrong by a digit has more


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The numbers that an engine needs before it opens the graph. `max_positions` bounds prompt and answer together.

    Raises ValueError for numbers that no model has: an engine allocates by them.
    """

    layers: int
    kv_heads: int
    head_dim: int
    hidden_size: int
    vocab_size: int
    max_positions: int

    def __post_init__(self) -> None:
        limits = {"layers": 1 << 10, "kv_heads": 1 << 10, "head_dim": 1 << 12, "hidden_size": 1 << 18}
        limits |= {"vocab_size": 1 << 22, "max_positions": 1 << 21}
        for name, most in limits.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, and 1 to {most:,} can be")
        if 8 * self.layers * self.kv_heads * self.head_dim * self.max_positions > MAX_CACHE_BYTES:  # float32 twice
            raise ValueError(f"keys and values of {self.max_positions:,} positions would take more than any memory")

    def to_json(self) -> ArchitectureFacts:
        """As it stands in bundle.json."""
        return cast(ArchitectureFacts, asdict(self))


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was read and found whole."""

    folder: Path
    model_path: Path
    tokenizer_path: Path
    prompt: PromptFormat
    architecture: Architecture
    manifest: Manifest
    build: str  # SHA-256 of bundle.json, which holds that of every other file

    @property
    def graph_bytes(self) -> int:
        """The size of the decode graph with its weights."""
        return sum(facts["bytes"] for facts in _graph_files(self.manifest["files"]))

    @property
    def graphs(self) -> dict[str, Path]:
        """The file of the decode graph in each precision that the bundle has."""
        variants = {name: self.folder / variant["file"] for name, variant in self.manifest.get("variants", {}).items()}
        return {**variants, str(self.manifest.get("quantization")): self.model_path}


def find_bundle(start: Path) -> Path:
    """The bundle folder of the nearest folder at or above `start` (a file or folder) that has one.

    The search ends at the root of a git repository, and never climbs into the home folder or one that holds it. A link
    is passed over: a repository that came with one would be served the model of another. It tells nothing of who made
    the bundle. Raises BundleError where none has one.
    """
    origin, links = start.absolute(), ""
    for folder in folders_up(origin):
        bundle = folder / WORKSPACE_BUNDLE
        if is_workspace_link(folder):
            links = f" ({bundle} is a link, which is not followed)"
        elif bundle.is_dir():
            return bundle
        if os.path.lexists(folder / ".git"):
            break
    raise BundleError(
        f"No bundle ({WORKSPACE_BUNDLE.as_posix()}) in {origin} or a folder above it{links}; "
        "run `submodel build` in the repository, or name the folder of one."
    )


def is_workspace_link(folder: Path) -> bool:
    """Whether the place of a repository's bundle is a link, or lies behind one."""
    bundle = folder / WORKSPACE_BUNDLE
    return is_link(bundle.parent) or is_link(bundle)


def find_trusted_bundle(start: Path) -> Path:
    """As `find_bundle`, of this account's own and trusted bundles; raises BundleError if there is none."""
    folder = find_bundle(start)
    check_trusted(folder, build_of(folder))
    return folder


def read_bundle(folder: Path, verify: bool = True, *, layout: str = DECODE_GRAPH_LAYOUT) -> Bundle:
    """Read and check a bundle folder, whose graph must be of `layout`: the default is the one that our engine runs.

    The manifest's own checksum and the sizes of all its files are always checked; `verify` adds their SHA-256 (about a
    second a gigabyte). Files that the manifest does not list are nobody's: no reader of ours opens them. Raises
    BundleError naming the file that is missing, changed or not understood.
    """
    build, manifest = read_build_and_manifest(folder)
    found = manifest.get("layout", DECODE_GRAPH_LAYOUT)
    if found not in (DECODE_GRAPH_LAYOUT, OPTIMUM_LAYOUT):
        raise NewerBundleError(
            f"The graph of the bundle {folder} has the format {str(found)[:40]!r}, which this version does not know; "
            "upgrade submodel and restart its server."
        )
    if found != layout:
        raise BundleError(
            f"The graph of the bundle {folder} has the format {found!r}, not {layout!r}, so this program can't run it; "
            "export a Llama- or Qwen2-shaped model with `submodel export`."
        )
    _check_files(folder, manifest["files"], verify)
    return _describe(folder, manifest, build)


def _describe(folder: Path, manifest: Manifest, build: str) -> Bundle:
    try:
        prompt = PromptFormat.from_json(manifest["prompt"])
        numbers: Mapping[str, Any] = manifest["architecture"]
        architecture = Architecture(**{name: int(numbers[name]) for name in Architecture.__dataclass_fields__})
    except (BuildError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleError(f"{folder / MANIFEST_FILE} lacks or misstates a key ({error!r}); {AGAIN}.") from error
    return Bundle(
        folder=folder,
        model_path=folder / MODEL_FILE,
        tokenizer_path=folder / TOKENIZER_FILE,
        prompt=prompt,
        architecture=architecture,
        manifest=manifest,
        build=build,
    )


def verify_bundle(bundle: Bundle) -> None:
    """Compare every file with the manifest that was read; raises BundleError naming the one that differs."""
    _check_files(bundle.folder, bundle.manifest["files"], verify=True)


def is_replaced(bundle: Bundle) -> bool:
    """Whether another bundle, or none, lies in the folder since this one was read."""
    try:
        return read_build_and_manifest(bundle.folder)[0] != bundle.build
    except BundleError:
        return True


def copy_files(bundle: Bundle, target: Path, *, below: str = "") -> None:
    """Copy the files that a bundle's manifest lists to a folder, but for those that it has already.

    below: of the bundle's folders, the only one that is copied.

    Raises BundleError where a copy is not what the manifest says: what lies in `target` is about to be listed anew.
    """
    kept = {
        name: facts
        for name, facts in bundle.manifest["files"].items()
        if name.startswith(f"{below}/" if below else "") and not (target / name).exists()
    }
    for name in kept:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.folder / name, target / name, follow_symlinks=False)
    _check_files(target, kept, verify=True)


@contextmanager
def replace_bundle(target: Path, *, keeps_previous: bool = True) -> Iterator[Path]:
    """An empty folder that takes the place of the bundle `target` as a whole when the block ends well.

    It is on the list of trusted bundles (`contract.bundle.trusted_builds`) before it takes that place, so that a server
    never finds it untrusted. keeps_previous: the bundle that a workspace had before is kept
    (`contract.bundle.previous`), so that the server can go back to it; a new one with the same graph needs none. Raises
    StateFolderError where the list can't be used, before the block runs, and ExportError where `target` is something
    else than a bundle, or can't be written.
    """
    target = target.absolute()
    trusted_folder()
    is_kept = keeps_previous and target.parts[-2:] == WORKSPACE_BUNDLE.parts
    keep = place_for(target) if is_kept else None
    with replace_folder(target, marker=MANIFEST_FILE, error_type=ExportError, keep=keep) as fresh:
        yield fresh
        trust_build(build_of(fresh))
    if keep is not None:
        mark_newest(target, keep)
    if is_kept:
        forget_older(target)


def graph_of(folder: Path) -> object:
    """What a bundle's manifest says of its graph: it changes with the model, not with drafts. None if there is none."""
    try:
        return graph_facts(read_bundle(folder, verify=False).manifest["files"])
    except BundleError:
        return None


def graph_facts(files: Mapping[str, FileFacts]) -> object:
    """The facts of the graph among those of a bundle's files: of the file, or of both where there are two."""
    graph, *weights = _graph_files(files)
    return [graph, *weights] if weights else graph


def _graph_files(files: Mapping[str, FileFacts]) -> list[FileFacts]:
    """The graph, and from 2 GB on its weights, which lie in a file beside it."""
    weights = files.get(f"{MODEL_FILE}_data")
    return [files[MODEL_FILE]] if weights is None else [files[MODEL_FILE], weights]


def _check_files(folder: Path, files: Mapping[str, FileFacts], verify: bool) -> None:
    for relative, facts in files.items():
        path = folder / relative
        try:
            parents = [folder / parent for parent in PurePosixPath(relative).parents[:-1]]
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode) or any(parent.is_symlink() for parent in parents):
                raise BundleError(f"A link leads to {path}, and a bundle has none; {AGAIN}.")
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path} is not a regular file; {AGAIN}.")
            size = status.st_size
            if size != facts.get("bytes"):
                raise BundleError(f"{path} has {size:,} bytes, not {facts.get('bytes')} as exported; {AGAIN}.")
            if verify and hash_file(path) != facts.get("sha256"):
                raise BundleError(f"{path} has changed since it was exported (SHA-256 differs); {AGAIN}.")
        except FileNotFoundError as error:
            raise BundleError(f"{path} is missing from the bundle; {AGAIN}.") from error
        except OSError as error:
            raise BundleError(f"{path} can't be read ({error.strerror}); check its permissions.") from error

"""The bundle: the folder that the exporter writes and that every reader of ours trusts.

It covers finding, checking and replacing the folder as a whole, and its manifest. What is inside the ONNX file is
`exporters.graph`. It imports nothing heavy: the language server starts from here.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from contract.bundle.previous import forget_older, mark_newest, place_for
from contract.bundle.trusted_builds import check_trusted, trust_build, trusted_folder
from contract.documents import ArchitectureFacts, FileFacts, Manifest
from contract.errors import BuildError, BundleError, ExportError, NewerBundleError
from contract.files.file_hash import hash_file
from contract.files.file_names import DEVICES, is_link, is_stray
from contract.files.folders import replace_folder, write_text
from contract.files.home import folders_up
from contract.files.untrusted_json import parse_json, read_bytes, read_json
from contract.prompt import PromptFormat

SCHEMA = 2  # 2: the key "threshold"
MANIFEST_FILE = "bundle.json"
MODEL_FILE = "onnx/model.onnx"
CHECKPOINT_MANIFEST = "manifest.json"  # of the sub-model that a bundle is exported from
TOKENIZER_FILE = "tokenizer.json"
DECODE_GRAPH_LAYOUT = "decode-graph"  # what our engine runs
OPTIMUM_LAYOUT = "optimum"  # other architectures, for ORTModelForCausalLM and transformers.js
CHECKSUM = "checksum"  # the last key of bundle.json: SHA-256 of the file with zeros in its own place
AGAIN = "run `submodel build` again, or fetch it again with `submodel pull` or `submodel unpack`"
WORKSPACE_BUNDLE = Path(".submodel") / "bundle"
MAX_MANIFEST_BYTES = 16 << 20  # of bundle.json: some 50 kB as a rule
MAX_FILES = 256  # a bundle has about a dozen
MAX_CACHE_BYTES = 64 << 30  # of keys and values; a laptop has less, and a number that is wrong by a digit has more
MAX_NAME = 200  # characters of a file's name with its folders
SAFE_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+-]*")  # no separator, drive, stream, hidden or odd name
DIGEST = re.compile(r"[0-9a-f]{64}")
_MADE_BY = ("plan", "finetuning", "learned_sha256")  # keys of both manifests
_NO_CHECKSUM = "0" * 64
_SEAL = re.compile(rf'"{CHECKSUM}": "([0-9a-f]{{64}})"\n}}\n\Z'.encode())  # how `sealed_manifest` ends


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
        if (folder / ".git").exists():
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


def build_of(folder: Path) -> str:
    """The build that lies in a bundle folder (`Bundle.build`), nothing of it checked; raises BundleError for none."""
    return hashlib.sha256(_read_content(folder)).hexdigest()


def read_bundle(folder: Path, verify: bool = True, *, layout: str = DECODE_GRAPH_LAYOUT) -> Bundle:
    """Read and check a bundle folder, whose graph must be of `layout`: the default is the one that our engine runs.

    The manifest's own checksum and the sizes of all its files are always checked; `verify` adds their SHA-256 (about a
    second a gigabyte). Files that the manifest does not list are nobody's: no reader of ours opens them. Raises
    BundleError naming the file that is missing, changed or not understood.
    """
    build, manifest = _read(folder)
    found = manifest.get("layout", DECODE_GRAPH_LAYOUT)
    if found != layout:
        raise BundleError(
            f"The graph of the bundle {folder} has the format {found!r}, not {layout!r}, so this program can't run it; "
            "export a Llama- or Qwen2-shaped model with `submodel export`."
        )
    _check_files(folder, manifest["files"], verify)
    return _describe(folder, manifest, build)


def unsealed_bundle(folder: Path, document: Mapping[str, Any]) -> Bundle:
    """The bundle whose files lie in `folder` and whose manifest will hold `document` (`complete_manifest`).

    It can be loaded, to measure what belongs into the manifest; `build` is "" until it is sealed. Raises BundleError
    where the document lacks or misstates a key.
    """
    check_manifest(document, folder / MANIFEST_FILE)
    return _describe(folder, cast("Manifest", document), build="")


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
        return _read(bundle.folder)[0] != bundle.build
    except BundleError:
        return True


def lists_file(bundle: Bundle, relative: str) -> bool:
    """Whether a bundle's manifest vouches for a file, given by its posix path."""
    return relative in bundle.manifest["files"]


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


def write_bundle_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write bundle.json last: `manifest` plus the schema and the size and SHA-256 of every file in `folder`."""
    seal_manifest(folder, complete_manifest(folder, manifest))


def complete_manifest(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """`manifest` plus the schema and the size and SHA-256 of every file in `folder`, as `seal_manifest` takes it.

    What file managers have left in `folder` is no file of the bundle.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and relative != MANIFEST_FILE and not is_stray(path.name):
            files[relative] = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    return {"schema": SCHEMA, **manifest, "files": files}


def seal_manifest(folder: Path, document: Mapping[str, Any]) -> None:
    """Replace bundle.json with `document` and a checksum of its own; files of the bundle are as `document` says."""
    write_text(folder / MANIFEST_FILE, sealed_manifest(document))


def sealed_manifest(document: Mapping[str, Any]) -> str:
    """The text of bundle.json, whose last key is a checksum of all the others."""
    unsealed = {name: value for name, value in document.items() if name != CHECKSUM} | {CHECKSUM: _NO_CHECKSUM}
    text = json.dumps(unsealed, indent=2, ensure_ascii=False) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return digest.join(text.rsplit(_NO_CHECKSUM, 1))


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


def read_manifest(folder: Path) -> Manifest:
    """bundle.json of a bundle folder, checked by its checksum and its form, its files unseen; raises BundleError."""
    return _read(folder)[1]


def graph_of(folder: Path) -> object:
    """What a bundle's manifest says of its graph: it changes with the model, not with drafts. None if there is none."""
    try:
        return read_bundle(folder, verify=False).manifest["files"].get(MODEL_FILE)
    except BundleError:
        return None


def is_bundle_of(manifest: Mapping[str, Any], model: Path) -> bool:
    """Whether a bundle's manifest has the facts of the checkpoint in a folder: no two fine-tunings have the same."""
    try:
        made_of = read_json(model / CHECKPOINT_MANIFEST, MAX_MANIFEST_BYTES)
    except (OSError, ValueError):
        return False
    return isinstance(made_of, dict) and all(made_of.get(name) == manifest.get(name) for name in _MADE_BY)


def _read(folder: Path) -> tuple[str, Manifest]:
    """The SHA-256 of bundle.json, and the document in it."""
    path, content = folder / MANIFEST_FILE, _read_content(folder)
    try:
        document = parse_json(content.decode("utf-8"))
    except ValueError as error:  # not UTF-8, or not JSON
        raise BundleError(f"{path} is not valid JSON ({error}); {AGAIN}.") from error
    check_manifest(document, path)
    seal = _SEAL.search(content)
    if seal is None:
        raise BundleError(f"{path} has no checksum at its end: it was changed, or is of an older version; {AGAIN}.")
    zeroed = content[: seal.start(1)] + _NO_CHECKSUM.encode() + content[seal.end(1) :]
    if seal[1].decode() != hashlib.sha256(zeroed).hexdigest():
        raise BundleError(f"{path} has changed since it was written (its checksum differs); {AGAIN}.")
    return hashlib.sha256(content).hexdigest(), cast(Manifest, document)


def _read_content(folder: Path) -> bytes:
    path = folder / MANIFEST_FILE
    try:
        return read_bytes(path, MAX_MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(f"{folder} is no bundle: it has no {MANIFEST_FILE}; {AGAIN}.") from error
    except OSError as error:
        raise BundleError(f"{path} can't be read ({error.strerror}); check its permissions.") from error
    except ValueError as error:
        raise BundleError(f"{path} can't be read ({error}); {AGAIN}.") from error


def check_manifest(document: Any, where: Path) -> None:
    """Raise BundleError, naming `where` it came from, unless it is a manifest whose files all stay in their folder.

    What readers take for granted of the other keys holds as well: `base` is an object, `parameters` a number, the lists
    of hashes hold hashes, and `variants` names files of the bundle.
    """
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        wrong = f"{where} has the schema {found!r}, this version reads {SCHEMA}"
        if type(found) is int and found > SCHEMA:
            raise NewerBundleError(f"{wrong}; upgrade submodel.")
        raise BundleError(f"{wrong}; {AGAIN}.")
    files = document.get("files")
    if not isinstance(files, dict) or not {MODEL_FILE, TOKENIZER_FILE} <= files.keys():
        raise BundleError(f"{where} lists no {MODEL_FILE} or {TOKENIZER_FILE}; {AGAIN}.")
    for name, facts in files.items():
        if not _is_inside(name) or not are_facts(facts):
            raise BundleError(f"{where} has a bad entry for the file {name!r}; {AGAIN}.")
    if len(files) > MAX_FILES:
        raise BundleError(f"{where} lists {len(files):,} files, and a bundle has at most {MAX_FILES}; {AGAIN}.")
    if len({name.casefold() for name in (MANIFEST_FILE, *files)}) <= len(files):
        raise BundleError(f"{where} has two names that are one to Windows and macOS; {AGAIN}.")
    forms: dict[str, Callable[[Any], bool]] = {
        "base": lambda value: isinstance(value, dict),
        "parameters": lambda value: type(value) is int and value >= 0,
        "held_out_sha256": are_hashes,
        "learned_sha256": are_hashes,
        "seen_sha256": are_hashes,
        "adapter": lambda value: _is_adapter(value, files),
        "variants": lambda value: _are_variants(value, files),
    }
    for key, is_right in forms.items():
        if key in document and not is_right(document[key]):
            raise BundleError(f"{where} has a bad value for {key!r}; {AGAIN}.")


def are_hashes(value: object) -> bool:
    """Whether it is a list of SHA-256."""
    return isinstance(value, list) and all(isinstance(one, str) and DIGEST.fullmatch(one) for one in value)


def _are_variants(value: object, files: Mapping[str, Any]) -> bool:
    return isinstance(value, dict) and all(_names_one_of(files, one) for one in value.values())


def _is_adapter(value: object, files: Mapping[str, Any]) -> bool:
    if not isinstance(value, dict) or not _names_one_of(files, value):
        return False
    return are_facts(value.get("shared"))


def _names_one_of(files: Mapping[str, Any], value: object) -> bool:
    name = value.get("file") if isinstance(value, dict) else None
    return isinstance(name, str) and name in files


def _is_inside(name: str) -> bool:
    """Whether a name means the same file below the bundle's folder on every system, and not the manifest."""
    parts = name.split("/")
    return (
        name != MANIFEST_FILE
        and len(name) <= MAX_NAME
        and all(SAFE_PART.fullmatch(part) and not part.endswith(".") for part in parts)
        and not any(part.partition(".")[0].upper() in DEVICES for part in parts)
    )


def are_facts(value: object) -> bool:
    """Whether it is the size and the SHA-256 of a file, as `FileFacts` are."""
    if not isinstance(value, dict):
        return False
    size, digest = value.get("bytes"), value.get("sha256")
    return type(size) is int and size >= 0 and isinstance(digest, str) and DIGEST.fullmatch(digest) is not None


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

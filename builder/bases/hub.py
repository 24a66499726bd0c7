"""Models of the Hugging Face hub: what its cache holds already, and the download of a snapshot.

Only safetensors, configuration and tokenizer files are ever fetched: no pickles, no code. A hub that does not answer is
given up after `PATIENCE_S`, so that a machine without it loses seconds. HF_HUB_OFFLINE and HF_HOME hold.
"""

from __future__ import annotations

import fnmatch
import queue
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars

from builder.artifact import MANIFEST
from builder.bases.catalogue import BaseModel, gguf_path
from builder.bases.download import disk_refusal
from builder.bases.model_config import read_base_config
from builder.bases.network import network_problem
from builder.bases.weight_index import INDEX, WEIGHTS, read_weight_index
from builder.bases.wheels import check_space, disk_full
from contract.errors import BaseModelError
from contract.files.disk_errors import DISK_ERRORS, NETWORK_ERRORS, is_disk_full
from contract.files.whole_files import SPARE_BYTES, write_text
from contract.progress import OnProgress, no_progress

PATIENCE_S: Final = 5.0  # for the hub's first answer
POLL_S: Final = 0.2
WANTED_FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "model*.safetensors",
    INDEX,
    "README.md",  # names the licence
    MANIFEST,  # of a sub-model
)
Check = Callable[[Path, str], object]  # of a folder without its weights, and of the name that the user knows
SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One revision of a hub model, on this disk."""

    folder: Path
    revision: str  # the commit's hash
    sha256: Mapping[str, str] = field(default_factory=dict)  # what the hub says of its large files, by file name


def is_cached(entry: BaseModel, cache_dir: Path) -> bool:
    """Whether the entry is on this disk: as a whole GGUF file, or in the hub's own cache."""
    if entry.packaged is not None:
        path = gguf_path(entry.packaged, cache_dir)
        if path.is_file() and path.stat().st_size == entry.packaged.size:
            return True
    return cached_snapshot(entry.hub_id) is not None


def cached_snapshot(hub_id: str) -> Snapshot | None:
    """What the hub's cache has as the newest snapshot, if it is whole; never touches the network."""
    try:
        patterns = list(WANTED_FILES)
        folder = Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=patterns, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    if not is_whole(folder):
        return None
    # The cache keeps each large file under its SHA-256 and links to it.
    blobs = {path.name: path.resolve().name for path in folder.glob("model*.safetensors")}
    published = {name: blob for name, blob in blobs.items() if SHA256.fullmatch(blob)}
    return Snapshot(folder=folder, revision=folder.name, sha256=published)


def fetch_snapshot(hub_id: str, on_progress: OnProgress = no_progress, check: Check = read_base_config) -> Snapshot:
    """Download the wanted files of the newest revision; raises BaseModelError, one sentence with the reason.

    `on_progress` gets bytes that are there and bytes in all. An interrupted download resumes. The weights come last:
    a model that `check` refuses costs no download of them.
    """
    info = _ask(hub_id)
    files = [file for file in info.siblings or () if "/" not in file.rfilename and _is_wanted(file.rfilename)]
    names = [file.rfilename for file in files]
    if not any(map(_is_weights, names)):
        is_adapter = any(file.rfilename.startswith("adapter_") for file in info.siblings or ())
        advice = "it is an adapter: give the model that it was merged into" if is_adapter else "take another model"
        raise BaseModelError(f"The hub's {hub_id} holds no safetensors weights of a whole model; {advice}.")
    if not {"config.json", "tokenizer.json"} <= set(names):
        raise BaseModelError(f"The hub's {hub_id} lacks a configuration or tokenizer.json; take another model.")
    total = sum(file.size or 0 for file in files)
    blobs = _cache_of(hub_id) / "blobs"
    check_space(blobs, total - _bytes_in(blobs) + SPARE_BYTES, "HF_HOME")  # huggingface_hub only warns
    disable_progress_bars()  # ours is shown instead
    try:
        folder = _in_background(
            lambda: _download(names, hub_id, info.sha, check),
            meanwhile=lambda: on_progress(min(_bytes_in(blobs), total), total),
        )
    except (OSError, RuntimeError) as error:  # hf_xet raises RuntimeError alone
        if is_disk_full(error):
            raise disk_full(blobs, total, "HF_HOME") from error
        if isinstance(error, OSError) and error.errno in DISK_ERRORS - NETWORK_ERRORS:
            raise disk_refusal(error, blobs, total, "HF_HOME") from error
        raise _refusal(hub_id, error) from error
    on_progress(total, total)
    if not is_whole(folder):
        raise BaseModelError(f"The hub's {hub_id} lacks some of its weights; take another model.")
    with suppress(OSError):  # huggingface_hub notes no newest revision where a commit is named
        write_text(_cache_of(hub_id) / "refs" / "main", str(info.sha))
    published = {file.rfilename: file.lfs.sha256 for file in files if file.lfs is not None}
    return Snapshot(folder=folder, revision=str(info.sha), sha256=published)


def _download(names: Sequence[str], hub_id: str, revision: str, check: Check) -> Path:
    """Fetch the files that the cache lacks, those of the weights after a check; return their folder.

    One after the other: `snapshot_download` has threads of its own, and Python waits for those at its exit.
    """

    def fetch(name: str) -> Path:
        place = huggingface_hub.hf_hub_download(hub_id, name, revision=revision, etag_timeout=PATIENCE_S)
        return Path(place).parent

    folder = [fetch(name) for name in names if not _is_weights(name)][-1]
    check(folder, hub_id)
    for name in filter(_is_weights, names):
        fetch(name)
    return folder


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def _cache_of(hub_id: str) -> Path:
    name = huggingface_hub.file_download.repo_folder_name(repo_id=hub_id, repo_type="model")
    return Path(constants.HF_HUB_CACHE, name)


def is_whole(folder: Path) -> bool:
    """Whether a folder has a configuration, a tokenizer and every weight file that its index names."""
    if not all((folder / name).is_file() for name in ("config.json", "tokenizer.json")):
        return False
    if not (folder / INDEX).is_file():
        return (folder / WEIGHTS).is_file()
    try:
        read_weight_index(folder)
    except BaseModelError:
        return False
    return True


def _ask(hub_id: str) -> Any:
    """The hub's description of the newest revision, within PATIENCE_S, name look-up included."""
    try:
        return _in_background(
            lambda: huggingface_hub.HfApi().model_info(hub_id, files_metadata=True, timeout=PATIENCE_S),
            patience_s=PATIENCE_S,
        )
    except (OSError, ValueError) as error:  # ValueError: HFValidationError, or an address that can't be read
        raise _refusal(hub_id, error) from error


def _in_background(
    work: Callable[[], Any], *, meanwhile: Callable[[], None] = lambda: None, patience_s: float | None = None
) -> Any:
    """Run `work` beside this thread; raises TimeoutError after `patience_s`. The thread never holds up the exit."""
    outcome: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:  # handed over to the waiting thread, which raises it
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    waited_s = 0.0
    while patience_s is None or waited_s < patience_s:
        try:
            value, error = outcome.get(timeout=POLL_S)
        except queue.Empty:
            waited_s += POLL_S
            meanwhile()
            continue
        if error is not None:
            raise error
        return value
    raise TimeoutError


def _refusal(hub_id: str, error: Exception) -> BaseModelError:
    if isinstance(error, OfflineModeIsEnabled):
        why = "HF_HUB_OFFLINE is set"
    elif isinstance(error, GatedRepoError):
        why = "its licence must be accepted on its page first, and `hf auth login` run"
    elif isinstance(error, RepositoryNotFoundError):
        why = "the hub has no such model, or it is private and `hf auth login` was not run"
    elif isinstance(error, HFValidationError):
        why = "that is no hub id"
    elif isinstance(error, HfHubHTTPError) and error.response is not None:
        why = f"the hub answered {error.response.status_code}"
    elif isinstance(error, TimeoutError):
        why = f"the hub didn't answer within {PATIENCE_S:.0f} seconds"
    elif (problem := network_problem(str(error), "its", "REQUESTS_CA_BUNDLE")) is not None:
        why = problem
    else:
        why = "the hub can't be reached"
    return BaseModelError(f"{hub_id} is unavailable from the model hub: {why}.")


def _is_wanted(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in WANTED_FILES)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # renamed since it was listed
            continue
    return total

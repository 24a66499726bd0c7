"""What a fleet leaves: a folder a repository, an index, and the page that shows all of them.

    OUTPUT/fleet.json, fleet.html        the index, and the page
    OUTPUT/NAME/bundle/                  the bundle, as a build writes it
    OUTPUT/NAME/report.html, report.json its report
    OUTPUT/NAME/result.json              what it was built from, sealed by this user's key
    OUTPUT/.previous/NAME/               the results that these have replaced
    OUTPUT/.work/NAME/                   a build that has not ended, or failed; the next run resumes it

A result is believed only if this user's `fleet` recorded it and its bundle is still that one: a folder of results may
have come with a repository.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, NotRequired, TypedDict, cast, get_args

from contract.bundle.bundle import Bundle, read_bundle
from contract.bundle.manifest import MANIFEST_FILE
from contract.bundle.trusted_builds import trust_build
from contract.documents import SUB_MODEL, Estimate
from contract.errors import SubmodelError
from contract.files.disk_calls import remove_tree
from contract.files.folders import copy_folder, replace_folder
from contract.files.seals import open_sealed, sealed_json
from contract.files.untrusted_json import read_bytes
from contract.files.whole_files import PRIVATE, write_json, write_text
from fleet.layout import RECORD
from submodel.build.paths import BuildPaths
from submodel.build.stages import hash_of
from submodel.report.render import read_saved

PREVIOUS: Final = ".previous"
SCHEMA: Final = 1  # of the index
BUNDLE: Final = "bundle"
_PURPOSE: Final = "fleet result"
State = Literal["built", "kept", "failed", "waiting"]
STATES: Final[tuple[State, ...]] = get_args(State)


class BundleFacts(TypedDict):
    """A bundle of the results. `build` is the SHA-256 of bundle.json, which tells of times as well."""

    build: str
    files_sha256: str  # over names and hashes of all other files: the same model has the same
    bytes: int


class Quality(TypedDict):
    """The sub-model beside its base on held-out lines, with 95 % intervals."""

    positions: int
    exact_match: float
    base_exact_match: float
    exact_match_difference: Estimate
    bits_per_byte: float
    base_bits_per_byte: float
    bits_per_byte_ratio: NotRequired[Estimate]
    files: NotRequired[int]
    is_worse: bool


class Result(TypedDict):
    """A repository's record."""

    key: str
    fingerprint: str
    remote: str | None
    base: str
    built_at: str
    machine: str
    seconds: float
    bundle: BundleFacts
    quality: NotRequired[Quality]


class Row(TypedDict):
    """A repository in the index. With `reason` it failed; `result` is what lies in its folder, even from before."""

    name: str
    source: str
    state: State
    reason: NotRequired[str]
    result: NotRequired[Result]


def read_result(output: Path, name: str, seal: bytes) -> Result | None:
    """The record of a repository whose bundle still lies there; None if there is none of this user's."""
    try:
        record = open_sealed(seal, _PURPOSE, name, read_bytes(output / name / RECORD))
        if record is None or read_bundle(output / name / BUNDLE, verify=False).build != record["bundle"]["build"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SubmodelError):
        return None
    return cast(Result, record)  # sealed by `publish`


def publish(output: Path, name: str, build: Path, facts: Mapping[str, Any], seal: bytes) -> Result:
    """Put a finished build's bundle and report in the place of the repository's results; returns their record.

    The old ones go to PREVIOUS, in the place of those before.
    facts: key, fingerprint, remote, machine and seconds. Raises SubmodelError; the old results then stay.
    """
    paths = BuildPaths(root=build)
    report = read_saved(paths.figures)
    bundle = read_bundle(paths.bundle, verify=False)
    result = {
        **facts,
        "base": report["base"]["name"],
        "built_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "bundle": _describe(bundle),
    }
    if quality := _quality(report):
        result["quality"] = quality
    target = output / name
    report["paths"] = {"bundle": str(target / BUNDLE), "report": str(target / paths.report.name)}
    keep = output / PREVIOUS / name if read_result(output, name, seal) is not None else None
    with replace_folder(target, marker=RECORD, keep=keep) as fresh:
        shutil.copy(paths.report, fresh)
        write_json(fresh / paths.figures.name, report, mode=PRIVATE)
        write_text(fresh / RECORD, sealed_json(seal, _PURPOSE, name, result))
        copy_folder(paths.bundle, fresh / BUNDLE, as_links=True)  # whatever fails here leaves the build whole
        trust_build(bundle.build)  # another machine of the cluster may have built it, with a list of its own
    remove_tree(build.parent)
    return cast(Result, result)


def worse_than_base(rows: Iterable[Row]) -> int:
    """How many of the sub-models that lie in the results are worse than their base."""
    qualities = (row["result"].get("quality") for row in rows if "result" in row)
    return sum(quality["is_worse"] for quality in qualities if quality is not None)


def _describe(bundle: Bundle) -> BundleFacts:
    files = bundle.manifest["files"]
    size = sum(facts["bytes"] for facts in files.values()) + os.stat(bundle.folder / MANIFEST_FILE).st_size  # noqa: PTH116
    return {"build": bundle.build, "files_sha256": hash_of(files=files), "bytes": size}


def _quality(report: Mapping[str, Any]) -> Quality | None:
    """None if nothing was held out."""
    against = report.get("against_base", {}).get(SUB_MODEL)
    if against is None:
        return None
    base, ours = report["models"][:2]
    quality: Quality = {
        "positions": ours["positions"],
        "exact_match": ours["fim_exact_match"],
        "base_exact_match": base["fim_exact_match"],
        "exact_match_difference": against["exact_match_difference"],
        "bits_per_byte": ours["bits_per_byte"],
        "base_bits_per_byte": base["bits_per_byte"],
        "is_worse": report["is_worse"],
    }
    if "bits_per_byte_ratio" in against:
        quality["bits_per_byte_ratio"] = against["bits_per_byte_ratio"]
    if "files" in against:
        quality["files"] = against["files"]
    return quality

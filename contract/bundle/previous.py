"""The bundles that a workspace had before: `.submodel/previous/<time of the build>`, so that a server can go back.

The time of the folder says when it was replaced, which is their order, and bundle.json's own when it was built.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from contract.files.disk_calls import remove_tree

PREVIOUS = "previous"
MOST_KEPT = 2  # some hundred megabytes each
_MANIFEST_FILE = "bundle.json"


def previous_bundles(bundle: Path) -> list[Path]:
    """Older bundles of the workspace whose bundle this is, the one that was replaced last first."""
    found = []
    for manifest in (bundle.parent / PREVIOUS).glob(f"*/{_MANIFEST_FILE}"):
        with suppress(FileNotFoundError):  # a build has just removed it
            manifest.stat()
            found.append((_retired_at(manifest.parent), manifest.parent))
    return [folder for _, folder in sorted(found, reverse=True)]


def place_for(bundle: Path) -> Path | None:
    """Where a workspace's bundle is kept when a new one comes; None if there is none to keep."""
    if not (bundle / _MANIFEST_FILE).is_file():
        return None
    time_of_build = built_at(bundle)
    name = f"{time_of_build:%Y-%m-%dT%H-%M-%S}-{time_of_build.microsecond // 1000:03d}Z"
    return bundle.parent / PREVIOUS / name


def built_at(bundle: Path) -> datetime:
    """When the bundle's bundle.json was written, in UTC."""
    return datetime.fromtimestamp((bundle / _MANIFEST_FILE).stat().st_mtime, UTC)


def mark_newest(bundle: Path, kept: Path) -> None:
    """Let `kept`, which `bundle` has just replaced, come first of the older ones, whatever the clock says."""
    newest_s = max((_retired_at(one) for one in previous_bundles(bundle) if one != kept), default=0.0)
    now_s = max(time.time(), newest_s + 1)
    os.utime(kept, (now_s, now_s))


def forget_older(bundle: Path) -> None:
    """Remove all but the MOST_KEPT newest, and what killed runs have left of others."""
    newest = previous_bundles(bundle)[:MOST_KEPT]
    for folder in (bundle.parent / PREVIOUS).glob("*"):
        if folder not in newest:
            remove_tree(folder)


def _retired_at(folder: Path) -> float:
    return folder.stat().st_mtime

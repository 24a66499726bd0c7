"""The bundles that a workspace had before: `.submodel/previous/<time of the build>`, so that a server can go back."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

PREVIOUS = "previous"
MOST_KEPT = 2  # some hundred megabytes each
_MANIFEST_FILE = "bundle.json"


def previous_bundles(bundle: Path) -> list[Path]:
    """Older bundles of the workspace whose bundle this is, newest first."""
    found = []
    for manifest in (bundle.parent / PREVIOUS).glob(f"*/{_MANIFEST_FILE}"):
        with suppress(FileNotFoundError):  # a build has just removed it
            found.append((_built_at(manifest.parent), manifest.parent))
    return [folder for _, folder in sorted(found, reverse=True)]


def place_for(bundle: Path) -> Path | None:
    """Where a workspace's bundle is kept when a new one comes; None if there is none to keep."""
    if not (bundle / _MANIFEST_FILE).is_file():
        return None
    built_at = datetime.fromtimestamp(_built_at(bundle), UTC)
    return bundle.parent / PREVIOUS / f"{built_at:%Y-%m-%dT%H-%M-%S}-{built_at.microsecond // 1000:03d}Z"


def forget_older(bundle: Path) -> None:
    """Remove all but the MOST_KEPT newest."""
    for old in previous_bundles(bundle)[MOST_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _built_at(bundle: Path) -> float:
    return (bundle / _MANIFEST_FILE).stat().st_mtime

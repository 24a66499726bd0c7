"""Finds the bundle that serves a file: that of the nearest folder above it, so that each root of a workspace has one.

A bundle that is found must be built by this account or trusted (`contract.bundle.trusted_builds`). So must a bundle
that a client sets: clients relay settings that a repository brings along. A bundle named on the command line need not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.bundle.bundle import WORKSPACE_BUNDLE, find_bundle
from contract.bundle.manifest import MANIFEST_FILE, build_of, read_manifest
from contract.bundle.previous import MOST_KEPT, previous_bundles
from contract.bundle.trusted_builds import UntrustedError, check_trusted
from contract.errors import BundleError
from contract.files.file_names import is_file, path_below

RETRY_S = 5.0  # between two looks from one place: a bundle may appear, go, or be replaced by one that is not trusted

# place → the bundle that serves it; and one that is there but is not served, and why
_Look = Callable[[Path], tuple[Path | None, tuple[Path, BundleError] | None]]


class BundleFinder:
    """Finds bundles, and remembers them.

    `named` is the bundle of the command line, which serves all files unless a client sets another. `now` is a monotonic
    clock in seconds.
    """

    def __init__(self, named: Path | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.fixed = self._named = _absolute(named)
        self._now = now
        self._found: dict[tuple[_Look, Path], tuple[Path | None, float]] = {}  # and when
        self._refused: dict[Path, BundleError] = {}

    @property
    def refused(self) -> dict[Path, BundleError]:
        """The bundles that were found but are not served, and why; without one that the command line has named."""
        served = self._named if self.fixed == self._named else None
        return {bundle: why for bundle, why in self._refused.items() if bundle != served}

    def fix(self, bundle: Path | None) -> None:
        """Serve all files with this bundle; with None, each file with its nearest."""
        self.fixed = _absolute(bundle)

    def is_named(self, bundle: Path) -> bool:
        """Return whether the command line has named this bundle, so that it need not be trusted."""
        return bundle == self._named

    def repository_of(self, bundle: Path, folder: Path) -> Path | None:
        """Return the repository that a bundle was built from; None if it is set and `folder` belongs to another."""
        own = workspace_of(bundle)
        if self.fixed is None or own is None:
            return own
        nearest = self._nearest(folder)  # a bundle that is set may lie below a folder that is no repository
        return own if nearest is not None and workspace_of(nearest) == own else None

    def root_of(self, path: Path, bundle: Path | None, folders: Sequence[Path]) -> Path | None:
        """Return the repository of a path: its bundle's, else the nearest folder of the workspace, else None."""
        nearest_first = sorted(folders, key=lambda folder: len(folder.parts), reverse=True)
        start = path if path in nearest_first else path.parent
        own = self.repository_of(bundle, start) if bundle is not None else None
        roots = nearest_first if own is None else [own, *nearest_first]
        return next((root for root in roots if path_below(path, root) is not None), None)

    def served(self, folders: Sequence[Path]) -> list[Path]:
        """Return the bundles of a workspace's folders."""
        bundles = dict.fromkeys(self.for_file(None, [folder]) for folder in folders)
        return [bundle for bundle in bundles if bundle is not None]

    def for_file(self, path: Path | None, folders: Sequence[Path]) -> Path | None:
        """Return the nearest bundle above a file, else that of a workspace folder that the file lies in, else None.

        The second is for a file of a git repository in that folder, where the search ends. No other folder's bundle
        serves a file: its model may write code of one repository into another. A document that is no file (`path` is
        None) gets the first bundle of the workspace's folders.
        """
        if self.fixed is not None:
            return self.fixed if self.is_named(self.fixed) else self._remembered(_look_at, self.fixed)
        holding = [one for one in folders if path is None or path_below(path, one) is not None]
        starts = ([path.parent] if path is not None else []) + holding
        for start in starts:
            bundle = self._nearest(start)
            if bundle is not None:
                return bundle
        return None

    def forget(self) -> None:
        """Forget what was found, as after a build."""
        self._found.clear()
        self._refused.clear()

    def _nearest(self, start: Path) -> Path | None:
        return self._remembered(_look_above, start)

    def _remembered(self, look: _Look, place: Path) -> Path | None:
        known = self._found.get((look, place))
        if known is not None and self._now() - known[1] < RETRY_S:
            return known[0]
        self._refused = {one: why for one, why in self._refused.items() if _is_still_refused(one)}
        bundle, refused = look(place)
        now = self._now()  # a look may take longer than it is remembered
        self._found = {key: one for key, one in self._found.items() if now - one[1] < RETRY_S}
        self._found[look, place] = bundle, now
        self._refused |= () if refused is None else (refused,)
        return bundle


def working_folder() -> Path:
    """Return the folder that the server was started in; it may be removed later, or be gone already."""
    try:
        return Path.cwd()
    except OSError:
        return Path.home()


def _absolute(bundle: Path | None) -> Path | None:
    return None if bundle is None else bundle.absolute()


def _look_at(bundle: Path) -> tuple[Path | None, tuple[Path, BundleError] | None]:
    """Return a bundle that a client has set, as refused if it is not trusted. Loading reports other faults."""
    refusal = _refusal(bundle)
    return (None, (bundle, refusal)) if isinstance(refusal, UntrustedError) else (bundle, None)


def _look_above(start: Path) -> tuple[Path | None, tuple[Path, BundleError] | None]:
    """Return the nearest bundle, as refused if it is not served."""
    try:
        bundle = search_bundle(start)
    except BundleError:
        return None, None
    refusal = _refusal(bundle)
    return (bundle, None) if refusal is None else (None, (bundle, refusal))


def search_bundle(start: Path) -> Path:
    """Return the bundle of the nearest folder at or above `start`, whoever made it.

    Raises BundleError if there is none, or if a folder can't be looked at: it is another account's, or on a drive that
    does not answer, or its path has a NUL.
    """
    try:
        return find_bundle(start)
    except (OSError, ValueError) as error:
        place = error.filename if isinstance(error, OSError) and error.filename else start
        reason = error.strerror if isinstance(error, OSError) else error
        raise BundleError(f"No bundle can be looked for in {place} ({reason}); check its permissions.") from error


def older_bundles(bundle: Path) -> list[Path]:
    """The older bundles of a workspace that may be served, newest first."""
    return [one for one in previous_bundles(bundle)[:MOST_KEPT] if _refusal(one) is None]


def _refusal(bundle: Path) -> BundleError | None:
    """Return why a bundle that the user has not named is not served; None if it is served."""
    try:
        check_trusted(bundle, build_of(bundle))
    except BundleError as error:
        return error
    return None


def _is_still_refused(bundle: Path) -> bool:
    """Return whether a bundle that was refused is still there, and not trusted."""
    return is_file(bundle / MANIFEST_FILE) and _refusal(bundle) is not None


def workspace_of(bundle: Path) -> Path | None:
    """Return the folder whose `.submodel` holds the bundle; None if it lies elsewhere."""
    folder = next((one for one in bundle.parents if one.name == WORKSPACE_BUNDLE.parts[0]), None)
    return folder.parent if folder is not None else None


def manifest_or_empty(bundle: Path) -> Mapping[str, Any]:
    """Return a bundle's manifest; {} if it can't be read, since loading reports that."""
    try:
        return read_manifest(bundle)
    except (BundleError, OSError, ValueError):
        return {}

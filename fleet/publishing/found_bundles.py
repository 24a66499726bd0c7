"""What `submodel-fleet publish FOLDER` finds there: bundles, and the name of each one's repository in the registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from contract.bundle.bundle import WORKSPACE_BUNDLE, is_workspace_link
from contract.bundle.manifest import MANIFEST_FILE
from contract.errors import RegistryError, first_line
from contract.files.file_names import is_link
from contract.files.untrusted_json import read_json
from contract.progress import OnEvent, no_event
from fleet.layout import INDEX, RECORD
from submodel.registry.names import is_part, names_of, repository_name

MAX_INDEX_BYTES: Final = 1 << 30  # 100,000 repositories take 120 MB
MAX_FILE_BYTES: Final = 1 << 16  # of RECORD


def find_bundles(folder: Path, on_event: OnEvent = no_event) -> list[tuple[Path, bool]]:
    """The bundles of a folder, and whether each was named itself: others may have come along with a clone.

    Of a fleet's results those that its index names.
    """
    has_build = (folder / WORKSPACE_BUNDLE / MANIFEST_FILE).is_file() and not is_workspace_link(folder)
    if (folder / MANIFEST_FILE).is_file() and not has_build and not (folder / ".git").exists():
        return [(folder.absolute(), True)]
    found = []
    # A hidden one may be a result that `submodel-fleet build` was replacing when it was killed.
    within = sorted(one for one in folder.iterdir() if not one.name.startswith(".")) if folder.is_dir() else ()
    for one in (folder, *within):
        # A link may lead to the model of another repository; a folder that was named may be one.
        places = () if is_workspace_link(one) else (one / WORKSPACE_BUNDLE,)
        places += () if is_link(one / "bundle") else (one / "bundle",)
        for place in (*places, *((folder,) if one == folder else ())):
            if os.path.isfile(place / MANIFEST_FILE):  # noqa: PTH113 - pathlib raises where a folder may not be entered
                found.append((place.absolute(), False))
                break
        if found and one == folder:  # a repository
            return found
    named = _named_by_fleet(folder / INDEX)
    stale = [place for place, _ in found if named is not None and _is_stale(place, named)]
    if stale:
        on_event(
            f"{len(stale):,} results in {folder}, first {stale[0].parent.name}, are left out: its {INDEX} does "
            "not name them. Remove them, or publish their bundles alone."
        )
        gone = set(stale)
        found = [one for one in found if one[0] not in gone]
    if not found:
        raise RegistryError(f"{folder} has no bundle; name one, a repository after its build, or a folder of such.")
    return found


def _named_by_fleet(index: Path) -> set[str] | None:
    """The names of a fleet's index; None if there is none. Raises RegistryError if it is damaged."""
    try:
        return {row["name"] for row in read_json(index, MAX_INDEX_BYTES)["repositories"]}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{index} can't be read as the index of a fleet ({first_line(error, 200)}); run `submodel-fleet build` "
            "again, or publish the bundles alone."
        ) from error


def _is_stale(bundle: Path, named: set[str]) -> bool:
    """Whether a bundle is a fleet's result that its index no longer names."""
    return bundle.parent.name not in named and (bundle.parent / RECORD).is_file()


def name_of(bundle: Path) -> str:
    """The name of a bundle's repository in the registry; raises RegistryError, saying what to do, if it has none."""
    if bundle.parts[-2:] == WORKSPACE_BUNDLE.parts:
        root = bundle.parents[1]
        if is_part(root):
            raise RegistryError(f"{root} is a part of a git repository; {_alone(bundle)}.")
        return names_of(root)[0]
    record = bundle.parent / RECORD
    try:
        document: Any = read_json(record, MAX_FILE_BYTES)
        name = repository_name(document["remote"])  # not of a path, which names no repository to other machines
    except FileNotFoundError as error:
        raise RegistryError(f"{bundle} lies in no repository, and no {record} names one; {_alone(bundle)}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryError(f"{record} names no remote; {_alone(bundle)}.") from error
    if name is None:
        raise RegistryError(
            f"{bundle} has no name: its remote {document['remote']} is a path of this machine; {_alone(bundle)}."
        )
    return name


def _alone(bundle: Path) -> str:
    """What to do with a bundle that has no name of its own: in a folder of several, --repository names none of them."""
    return f"publish {bundle} alone, with its name in the registry as --repository"

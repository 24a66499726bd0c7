"""What is asked of whom: a JSON file that names repositories, revisions and rivals.

    {
      "count": 150,
      "repositories": [
        {"name": "httpx", "clone": "clones/httpx", "built": "built/httpx", "since": "280a89a4"}
      ],
      "own": "built/{name}/.submodel/bundle",
      "rivals": {
        "sub-model": {"bundle": "built/{name}/.submodel/bundle"},
        "sub-model, as shown": {"bundle": "built/{name}/.submodel/bundle", "as_shown": true},
        "generic sub-model": {"bundle": "generic-python/bundle"},
        "base, our engine": {"bundle": "base/bundle"},
        "llama.cpp": {"server": "llama-server", "gguf": "base.q8_0.gguf"},
        "llama.cpp, snippets": {"server": "llama-server", "gguf": "base.q8_0.gguf", "has_snippets": true},
        "n-gram": {"model_free": "n-gram"}
      }
    }

"clone" has the whole history. "built" is a checkout of the revision "since", of which "own" was built: that bundle's
manifest says which files were held out and which were learned. The first rival is the one that all others are compared
with. `{name}` in a path is the repository's name; paths are relative to the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATHS = ("bundle", "server", "gguf")
KINDS = ({"bundle"}, {"server", "gguf"}, {"model_free"})
SWITCHES = {"as_shown", "has_snippets", "is_greedy"}


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One repository, and the rivals with the paths that hold for it."""

    name: str
    clone: Path
    built: Path
    since: str
    own: Path
    rivals: Mapping[str, Mapping[str, Any]]

    @property
    def bundles(self) -> list[Path]:
        """The own bundle, then those of the rivals."""
        named = [self.own, *(rival["bundle"] for rival in self.rivals.values() if "bundle" in rival)]
        return list(dict.fromkeys(named))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All repositories, and how many positions of each kind are asked in each."""

    name: str  # of the file, and of the results
    count: int
    repositories: tuple[Repository, ...]


def read_plan(path: Path) -> Plan:
    """Return the plan in a file; exits with a sentence if a key is missing or unknown."""
    try:
        document = json.loads(path.read_text("utf-8"))
        room = path.resolve().parent
        for rival, given in document["rivals"].items():
            if set(given) - SWITCHES not in KINDS:
                raise SystemExit(f"{path}: {rival!r} needs a bundle, or a server and a gguf, or model_free.")
        repositories = tuple(_repository(one, document, room) for one in document["repositories"])
        return Plan(name=path.stem, count=int(document["count"]), repositories=repositories)
    except (OSError, ValueError, TypeError) as error:
        raise SystemExit(f"{path} can't be read ({error}).") from None
    except KeyError as error:
        raise SystemExit(f"{path} lacks the key {error}.") from None


def _repository(given: Mapping[str, str], document: Mapping[str, Any], room: Path) -> Repository:
    name = given["name"]

    def path_of(text: str) -> Path:
        return room / text.replace("{name}", name)

    rivals = {
        rival: {key: path_of(value) if key in PATHS else value for key, value in spec.items()}
        for rival, spec in document["rivals"].items()
    }
    return Repository(
        name=name,
        clone=path_of(given["clone"]),
        built=path_of(given["built"]),
        since=given["since"],
        own=path_of(given.get("own", document["own"])),
        rivals=rivals,
    )

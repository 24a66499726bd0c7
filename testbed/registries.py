"""Registries for tests: bundles published under a name, and a repository whose git remote has that name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from contract.bundle.bundle import Bundle, read_bundle
from contract.bundle.manifest import MODEL_FILE, write_manifest_of
from exporters.adapter_file import ADAPTER_FILE, Change, merged, write_adapter
from fleet.publishing.publish_run import PublishSettings, run_publish
from testbed.git import git

NAME = "example.com/acme/app"
REMOTE = "git@example.com:acme/app.git"


def publish(bundle: Path, registry: Path, *, name: str = NAME, valid_days: float = 30.0) -> str:
    """Publish a bundle to a folder, begun if there is none; its public key. The private key lies beside the folder."""
    settings = PublishSettings(
        folder=bundle,
        registry=registry,
        key_file=registry.with_suffix(".pem"),
        is_new=not registry.exists(),
        name=name,
        valid_days=valid_days,
    )
    key, rows = run_publish(settings)
    assert [row.error for row in rows] == [None]
    return key


def make_repository(folder: Path, remote: str = REMOTE) -> Path:
    """An empty git repository with one remote."""
    folder.mkdir(parents=True)
    git(folder, "init")
    git(folder, "remote", "add", "origin", remote)
    return folder


def make_adapted_bundle(shared: Bundle, folder: Path) -> Bundle:
    """A bundle whose graph an adapter makes from the graph of `shared`. The graph is for hashes, not for answers."""
    rng = np.random.default_rng(3)
    change = Change(
        offset=20_000,
        ins=rng.integers(-127, 128, (2, 64)).astype(np.int8),
        in_scales=np.full(64, 0.01, np.float32),
        outs=rng.integers(-127, 128, (2, 48)).astype(np.int8),
        out_scales=np.full(48, 0.01, np.float32),
    )
    shutil.copytree(shared.folder, folder)
    write_adapter(folder / ADAPTER_FILE, {"some.weight": change})
    with shared.model_path.open("rb") as graph:
        (folder / MODEL_FILE).write_bytes(b"".join(merged(graph, [change])))
    facts = {"file": ADAPTER_FILE, "shared": shared.manifest["files"][MODEL_FILE]}
    kept = {key: value for key, value in shared.manifest.items() if key not in ("schema", "files")}
    write_manifest_of(folder, {**kept, "adapter": facts})
    return read_bundle(folder)

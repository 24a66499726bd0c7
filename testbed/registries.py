"""Registries for tests: bundles published under a name, and a repository whose git remote has that name."""

from __future__ import annotations

from pathlib import Path

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

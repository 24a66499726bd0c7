"""git in repositories of tests: with an identity, and without what the machine's own configuration says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "A" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "a@example.org" for who in ("AUTHOR", "COMMITTER")},
}


def git(folder: Path, *words: str, text: str = "") -> str:
    """Run git in a folder, with a text to read; return what it prints. Raises CalledProcessError if it fails."""
    environment = os.environ | _ENVIRONMENT
    done = subprocess.run(
        ["git", *words], cwd=folder, env=environment, input=text.encode(), capture_output=True, check=True
    )
    return done.stdout.decode("utf-8", "replace").strip()


def write_files(root: Path, files: dict[str, str]) -> None:
    """Write texts to relative posix paths, and the folders that they need."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

"""Where a build writes, and whether it can."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BuildError
from builder.folders import write_text


@dataclass(frozen=True, kw_only=True)
class BuildPaths:
    """Where a build writes."""

    root: Path

    @property
    def pruned(self) -> Path:
        """The pruned model before recovery, from which another recovery can start."""
        return self.root / "pruned"

    @property
    def model(self) -> Path:
        """The sub-model, a transformers folder."""
        return self.root / "model"

    @property
    def bundle(self) -> Path:
        """The ONNX bundle that is served."""
        return self.root / "bundle"

    @property
    def report(self) -> Path:
        """What people read: one HTML file."""
        return self.root / "report.html"

    @property
    def figures(self) -> Path:
        """The same as JSON, with every answer."""
        return self.root / "report.json"

    @property
    def stages(self) -> Path:
        """Records of the finished stages."""
        return self.root / "stages"

    @property
    def rival(self) -> BuildPaths:
        """Where the dense base that is tuned for comparison has its folders."""
        return BuildPaths(root=self.root / "rival")

    def trial(self, size: float) -> BuildPaths:
        """Where a size that is tried has its folders."""
        return BuildPaths(root=self.root / "trials" / f"{size:g}")


def prepare_output(folder: Path) -> None:
    """Make `.submodel` and keep git from seeing it; raises BuildError where it can't be written."""
    make_folder(folder)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_text(ignore, "*\n")


def make_folder(folder: Path) -> None:
    """Make a folder to write to; raises BuildError where that can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BuildError(
            f"{folder} can't be written ({error.strerror or error}); choose another folder with -o."
        ) from error

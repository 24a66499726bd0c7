"""Pipes in the place of files, which a reader waits for for ever, and files that others can read.

Attacked: `exporters.packed_bundle`, and what `submodel build` and `eval` write of a repository's text. Each succeeds on
63ec2ff.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.bundle.bundle import Bundle
from contract.bundle.manifest import MODEL_FILE
from submodel.build.paths import BuildPaths
from submodel.build.stages import Stages
from submodel.evaluation.evaluation_run import _Evaluation
from submodel.report.render import REPORT_SCHEMA

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes and modes are POSIX's")


def is_refused(*arguments: object) -> bool:
    """Whether a command ends with one sentence, instead of waiting for somebody to write to a pipe."""
    command = [sys.executable, "-m", "submodel", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "is not a regular file" in done.stderr
    return done.returncode == 1 and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_pipe_in_a_bundle_is_not_packed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    (bundle / MODEL_FILE).unlink()
    os.mkfifo(bundle / MODEL_FILE)
    assert is_refused("pack", bundle, "-o", tmp_path / "packed.submodel")
    assert not (tmp_path / "packed.submodel").exists()


@pytest.mark.slow
def test_a_pipe_is_not_unpacked(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "packed.submodel")
    assert is_refused("unpack", tmp_path / "packed.submodel", "-o", tmp_path / "bundle")


def test_what_quotes_the_repository_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository's own files may be closed to others; the umask is the usual one."""
    display: Any = SimpleNamespace(say=lambda _: None, stage=lambda _: nullcontext(lambda *_: None))
    render = "submodel.evaluation.evaluation_run.render_beside_evaluation"
    monkeypatch.setattr(render, lambda *_, **__: "def secret_sauce(): ...")
    (tmp_path / "report.json").write_text(json.dumps({"schema": REPORT_SCHEMA}))
    evaluation: Any = SimpleNamespace(_paths=BuildPaths(root=tmp_path), _display=display, _graph=None)
    evaluation._settings = SimpleNamespace(repository=tmp_path)
    umask = os.umask(0o022)
    try:
        Stages(tmp_path / "stages", display, force=False).run("score", "k", lambda _: {"answers": ["secret_sauce"]})
        _Evaluation._write(evaluation, {"answers": ["secret_sauce"]})
    finally:
        os.umask(umask)
    for name in ("stages/score.json", "evaluation.json", "report.html"):
        assert "secret_sauce" in (tmp_path / name).read_text()
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600

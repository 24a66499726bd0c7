"""A clone that ships finished stages: records, a model, a bundle, the state of a fine-tuning.

Attacked: `submodel.build.stages`, `builder.finetuning.training_state`. The keys of the records hold public inputs
only, so that anybody can compute them: here the shipped record has the right one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from submodel.build.stages import Stages


class Display:
    """Notes what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def keep(self, name: str) -> None:
        self.said.append(f"{name}: kept from an earlier run")

    def stage(self, name: str) -> Any:
        import contextlib

        return contextlib.nullcontext(lambda *_: None)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "clone" / ".submodel"
    (folder / "stages").mkdir(parents=True)
    return folder


def build(output: Path, *, name: str = "export", key: str = "k", content: str = "honest") -> tuple[Any, Display]:
    """One stage of a build: what it makes is a bundle of one file. Returns the record, and what was said."""
    display = Display()
    bundle = output / "bundle"

    def make(_: object) -> dict[str, str]:
        shutil.rmtree(bundle, ignore_errors=True)
        (bundle / "onnx").mkdir(parents=True)
        (bundle / "onnx" / "model.onnx").write_text(content)
        (bundle / "bundle.json").write_text("{}")
        return {"made": content}

    record = Stages(output / "stages", display, force=False).run(name, key, make, [bundle])  # type: ignore[arg-type]
    return record, display


def test_a_shipped_record_is_not_believed(output: Path) -> None:
    """Succeeds on 9201313: "kept from an earlier run", and the stranger's bundle is served."""
    (output / "bundle").mkdir()
    (output / "bundle" / "model.onnx").write_text("the stranger's")
    shipped = {"stage_hash": "k", "seconds": 1.0, "result": {"made": "evil"}}
    (output / "stages" / "export.json").write_text(json.dumps(shipped))
    record, display = build(output)
    assert record.is_fresh
    assert record.result == {"made": "honest"}
    assert not (output / "bundle" / "model.onnx").exists()
    assert any("this account did not write" in line for line in display.said)


def test_another_users_record_is_not_believed(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Succeeds on 9201313: made by the very same program, on the stranger's machine."""
    build(output, content="evil")
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "mine"))
    record, _ = build(output)
    assert record.is_fresh


def test_a_record_that_is_not_believed_is_named_once(output: Path) -> None:
    (output / "stages" / "score.json").write_text("{}")
    display = Display()
    stages = Stages(output / "stages", display, force=False)  # type: ignore[arg-type]
    stages.run("score", "k", lambda advance: {})
    assert len(display.said) == 1


@pytest.mark.parametrize("change", ["content", "added", "removed", "link"])
def test_a_changed_output_is_not_kept(output: Path, change: str) -> None:
    """Succeeds on 9201313: the outputs only have to exist."""
    build(output)
    model = output / "bundle" / "onnx" / "model.onnx"
    if change == "content":
        model.write_text("evil!!")
    elif change == "added":
        (output / "bundle" / "onnx" / "model.onnx.data").write_text("")
    else:
        model.rename(output / "elsewhere")
        if change == "link":
            if os.name != "posix":
                pytest.skip("links need a right on Windows")
            model.symlink_to(output / "elsewhere")
    record, display = build(output)
    assert record.is_fresh
    assert any("was changed" in line for line in display.said)
    assert model.read_text() == "honest"


def test_a_record_of_another_stage_is_not_believed(output: Path) -> None:
    """Succeeds on 9201313, where keys agree."""
    build(output)
    (output / "stages" / "export.json").rename(output / "stages" / "prune.json")
    record, _ = build(output, name="prune")
    assert record.is_fresh


def test_ones_own_record_is_kept(output: Path) -> None:
    """No attack: what is refused is not all."""
    assert build(output)[0].is_fresh
    record, display = build(output)
    assert not record.is_fresh
    assert display.said == ["export: kept from an earlier run"]
    assert build(output, key="other")[0].is_fresh


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_key_is_for_this_user_alone(output: Path, state: Path) -> None:
    """No attack on 9201313, which has no key."""
    build(output)
    key = state / "seal.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert len(key.read_bytes()) == 32
    assert [path.name for path in state.iterdir()] == ["seal.key"]
    for path in output.rglob("*.json"):
        assert key.read_bytes().hex() not in path.read_text()


def test_each_file_is_hashed_once_a_run(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No attack: weights have gigabytes."""
    build(output)
    hashed: list[object] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, *a: (hashed.append(file.name), digest(file, *a))[1])
    stages = Stages(output / "stages", Display(), force=False)  # type: ignore[arg-type]
    for _ in range(2):
        assert not stages.run("export", "k", lambda _: None, [output / "bundle"]).is_fresh
    assert len(hashed) == len(set(hashed)) == 2


def test_a_shipped_state_of_fine_tuning_is_not_resumed(output: Path) -> None:
    """Succeeds on 9201313: the key in its metadata is made of public inputs."""
    import torch
    from safetensors.torch import save_file

    from builder.finetuning.training_state import StateFile, TrainingProgress

    path = output / "stages" / "finetuning.safetensors"
    save_file({"best/w": torch.ones(2)}, path, metadata={"stage_hash": "k", "progress": json.dumps({"step": 9})})
    state = StateFile(path=path, stage_hash="k")
    assert state.load() is None
    (path.parent / "finetuning.safetensors.seals").write_text("0" * 64 + "\né")
    assert state.load() is None
    for step in (1, 2):  # one's own is, also where a kill came between the seal and the file
        state.save(TrainingProgress(step=step), {"w": torch.ones(2)}, {}, {})
    loaded = state.load()
    assert loaded is not None
    assert loaded[0].step == 2
    assert StateFile(path=path, stage_hash="other").load() is None
    state.vouch_for(output / "stages" / "finetuning.safetensors.seals")
    assert state.load() is not None
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert state.load() is None
    state.remove()
    assert list(path.parent.iterdir()) == []

"""Files that a process has open or mapped, which Windows replaces for nobody.

Windows is played: `Path.replace` refuses as it does there. Each test fails on 104ea66.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from contract.errors import BuildError
from contract.files import disk_calls
from contract.files.disk_calls import rename
from contract.files.folders import replace_folder
from contract.files.whole_files import write_text
from submodel import app

SHARING, MAPPED = 32, 1224  # what Windows calls them


def refusal(code: int) -> OSError:
    """As Python on Windows raises it."""
    error = PermissionError(13, "in use") if code == SHARING else OSError(22, "mapped")
    error.winerror = code  # type: ignore[attr-defined]
    return error


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(disk_calls, "time", SimpleNamespace(sleep=found.append))
    monkeypatch.setattr(disk_calls, "_is_windows", lambda: True)
    return found


def hold(monkeypatch: pytest.MonkeyPatch, code: int, times: int) -> None:
    left, replace = [code] * times, Path.replace

    def refuse(self: Path, other: Path) -> Path:
        if left:
            raise refusal(left.pop())
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", refuse)


@pytest.mark.parametrize("code", [SHARING, MAPPED])
def test_a_held_file_is_waited_for_with_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float], code: int
) -> None:
    (tmp_path / "a").write_text("old")
    hold(monkeypatch, code, times=7)
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert waits == sorted(waits) and 3 <= sum(waits) <= 10


def test_a_folder_is_waited_for_as_long_as_a_virus_scanner_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    (tmp_path / "a").mkdir()
    hold(monkeypatch, SHARING, times=100)
    with pytest.raises(PermissionError, match="virus scanner"):
        rename(tmp_path / "a", tmp_path / "b")
    assert waits == sorted(waits) and 25 <= sum(waits) <= 30


@pytest.mark.parametrize("code", [SHARING, MAPPED])
def test_a_file_that_stays_held_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
    capsys: pytest.CaptureFixture[str],
    code: int,
) -> None:
    hold(monkeypatch, code, times=100)
    monkeypatch.setattr(app, "app", lambda: write_text(tmp_path / "a.json", "new"))
    with pytest.raises(SystemExit):
        app.main()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"({tmp_path / 'a.json'})" in said and "close what has it open" in said and "run it again" in said
    words = r"model.* it is in use; close what has it open.*run it again"
    with pytest.raises(BuildError, match=words), replace_folder(tmp_path / "model", marker="m") as fresh:
        (fresh / "m").touch()


def test_what_other_systems_refuse_is_raised_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No attack, and held on 104ea66."""
    hold(monkeypatch, SHARING, times=1)
    monkeypatch.setattr(disk_calls, "_is_windows", lambda: False)
    monkeypatch.setattr(disk_calls, "time", SimpleNamespace(sleep=lambda _: pytest.fail("it waited")))
    with pytest.raises(PermissionError):
        rename(tmp_path / "a", tmp_path / "b")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_state_that_was_read_is_not_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next save replaces it, which Windows refuses while a tensor of this very process lies in the file."""
    import torch

    from builder.finetuning.training_state import StateFile, TrainingProgress

    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    file = StateFile(path=tmp_path / "finetuning.safetensors", stage_hash="k")
    file.save(TrainingProgress(step=1), *({"w": torch.ones(64, 64)} for _ in range(3)))
    loaded = file.load()
    assert loaded is not None
    assert torch.equal(loaded[1]["weights"]["w"], torch.ones(64, 64))
    assert file.path.name not in Path("/proc/self/maps").read_text()

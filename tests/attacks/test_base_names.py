"""A repository that holds folders named as base models are: `submodel build --base NAME` must not take those.

Attacked: `builder.bases.resolve`. VS Code starts a build with the clone as working folder. Each test fails on 63ec2ff,
in some of its cases, unless it says that it is no attack.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from builder.bases import resolve
from builder.bases.catalogue import CATALOGUE
from builder.bases.hub import Snapshot
from builder.bases.resolve import resolve_base
from builder.cache_variables import drop_relative_caches
from contract.errors import BaseModelError
from laboratory.app import app as lab_app
from laboratory.experiments import sweep_run
from laboratory.experiments.sweep_run import SweepSettings
from testbed.models import save_base

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, which holds a model at owner/name."""
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    monkeypatch.setattr(resolve, "cached_snapshot", lambda hub_id: None)
    return Path(save_base(tmp_path / "clone" / "owner" / "name"))


def refuse(hub_id: str, on_progress: object, check: object = None) -> Snapshot:
    raise BaseModelError(f"{hub_id} is unavailable from the model hub: it can't be reached.")


@pytest.mark.parametrize("spec", ["owner/name", "owner/name/", "owner/name//"])
def test_a_hub_id_is_not_taken_from_the_working_folder(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = Snapshot(folder=Path(save_base(tmp_path / "hub")), revision="abc")
    monkeypatch.setattr(resolve, "fetch_snapshot", lambda hub_id, on_progress, check=None: snapshot)
    base = resolve_base(spec)
    assert base.path == snapshot.folder
    assert base.source == "model hub owner/name"


@pytest.mark.parametrize("spec", ["owner/name", "auto"])
def test_a_sweep_takes_no_folder_of_that_name(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Succeeds on 77f0145."""
    asked: list[str] = []

    def stop(settings: SweepSettings, *_: object) -> None:
        asked.append(settings.base)
        raise BaseModelError("Enough.")

    save_base(Path("auto"))
    monkeypatch.setattr(sweep_run, "run_sweep", stop)
    CliRunner().invoke(lab_app, ["sweep", ".", "-o", "out", "--base", spec])
    assert asked == [spec]


def test_without_the_hub_it_is_said_how_to_name_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "fetch_snapshot", refuse)
    with pytest.raises(BaseModelError, match=r"can't be reached\. There is a folder of that name.*\./owner/name"):
        resolve_base("owner/name")
    with pytest.raises(BaseModelError, match=r"can't be reached\.$"):
        resolve_base("owner/other")


@pytest.mark.parametrize("name", ["auto", *CATALOGUE])
def test_a_catalogue_name_is_not_taken_from_the_working_folder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No attack on 63ec2ff."""
    save_base(Path(name))
    monkeypatch.setattr(resolve, "fetch_snapshot", refuse)
    monkeypatch.setattr(resolve, "find_gguf", lambda entry, cache: None)
    monkeypatch.setattr(resolve, "fetch_gguf", lambda entry, cache, *report: refuse(entry.name, None))
    with pytest.raises(BaseModelError, match="can't be"):
        resolve_base(name)


def test_a_folder_is_taken_where_it_is_written_as_one(clone: Path) -> None:
    """No attack: what is refused is not all."""
    for spec in ("./owner/name", "../clone/owner/name", str(clone)):
        assert resolve_base(spec).path.resolve() == clone.resolve()


@pytest.mark.parametrize(
    "variables", [{"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "cache"}, {"HF_HOME": "./hf"}, {"HF_HUB_CACHE": "hub"}]
)
def test_the_hub_s_cache_does_not_lie_in_the_working_folder(variables: dict[str, str], tmp_path: Path) -> None:
    """A clone could hold the weights of `--base auto` there. The test fails on 19803c93."""
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **variables}
    code = "import builder, huggingface_hub.constants as hub; print(hub.HF_HUB_CACHE)"
    words = [sys.executable, "-P", "-c", code]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=300)
    assert Path(done.stdout.strip()) == tmp_path / ".cache" / "huggingface" / "hub"


def test_a_cache_that_its_user_has_moved_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {
        "HF_HOME": str(tmp_path),
        "HF_HUB_CACHE": "~/hub",
        "XDG_CACHE_HOME": "$PLACE/cache",
        "PLACE": str(tmp_path),
    }
    for name, folder in chosen.items():
        monkeypatch.setenv(name, folder)
    drop_relative_caches()
    assert {name: os.environ.get(name) for name in chosen} == chosen

"""`submodel eval` in a clone that brings a `.submodel` along.

Attacked: `submodel.evaluation.predictors`. Each test fails on 63ec2ff, in some of its cases, unless it says that it is
no attack.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from builder.bases.catalogue import CATALOGUE
from contract.bundle.bundle import Bundle
from contract.bundle.manifest import build_of, read_manifest, write_manifest
from contract.bundle.trusted_builds import forget_build, trust_build
from contract.errors import BuildError, BundleError, SubmodelError
from submodel.evaluation import predictors
from submodel.evaluation.evaluation_run import EvalSettings, run_evaluation
from submodel.evaluation.predictors import ScoredModel, base_of, find_candidates, open_predictor
from testbed.git import git
from testbed.models import save_base

pytestmark = pytest.mark.slow  # whole builds


class Display:
    """Says nothing."""

    def say(self, text: str) -> None:
        pass

    def stage(self, name: str) -> Any:
        return contextlib.nullcontext(lambda *_: None)


@pytest.fixture
def clone(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A repository with a whole sub-model that a stranger built."""
    root = tmp_path / "clone"
    own = root / ".submodel" / "bundle"
    shutil.copytree(tiny_bundle.folder, own)
    write_manifest(own, {**read_manifest(own), "base": {"name": "smollm2-135m"}, "licence": tmp_path.name})
    return root  # no other test trusts a bundle of that licence


def make_model(folder: Path, base: object = "smollm2-135m") -> Path:
    save_base(folder)
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "base": {"name": base}, "prompt": {}}))
    return folder


def trust(output: Path) -> None:
    """Let this user's own program have built the bundle that lies there."""
    trust_build(build_of(output / "bundle"))


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What torch.load is called with, and what a person is asked at the terminal."""
    seen: list[Any] = []

    def answer(question: str = "") -> str:
        seen.append(question)
        return "y"

    def load(file: object, *_: object, **__: object) -> dict[str, torch.Tensor]:
        seen.append(file)
        return {}

    monkeypatch.setattr(torch, "load", load)
    monkeypatch.setattr("builtins.input", answer)
    return seen


def test_a_clone_s_sub_model_is_not_read(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictors, "read_bundle", pytest.fail)
    for asked in ((), ("sub-model",)):
        with pytest.raises(BundleError, match=r"not built by this account.*submodel trust"):
            run_evaluation(EvalSettings(repository=clone, models=asked), Display())  # type: ignore[arg-type]


def test_a_sub_model_that_was_changed_since_it_was_built_is_not_read(clone: Path) -> None:
    output = clone / ".submodel"
    trust(output)
    [_, ours] = find_candidates([], output)
    with (output / "bundle" / "onnx" / "model.onnx").open("ab") as graph:
        graph.write(b"more")
    with pytest.raises(BundleError):
        open_predictor(ours, "auto", torch.float32, print)
    write_manifest(output / "bundle", {**read_manifest(output / "bundle"), "licence": "none"})
    with pytest.raises(BundleError, match="not built by this account"):
        find_candidates([], output)


def test_what_git_tracks_is_not_read(clone: Path) -> None:
    trust(clone / ".submodel")
    git(clone, "init")
    git(clone, "add", "-f", ".submodel")
    with pytest.raises(BuildError, match="tracked by git"):
        find_candidates(["sub-model"], clone / ".submodel")


def test_what_is_tracked_is_said_before_anything_is_scored(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / ".submodel" / "report.json").write_text("{}")
    git(clone, "init")
    git(clone, "add", "-f", ".submodel")
    monkeypatch.setattr("submodel.evaluation.evaluation_run.read_checkout", pytest.fail)
    with pytest.raises(BuildError, match="tracked by git"):
        run_evaluation(EvalSettings(repository=clone, models=("base",), base="auto"), Display())  # type: ignore[arg-type]


def test_a_checkpoint_in_the_place_of_the_bundle_is_not_read(clone: Path) -> None:
    shutil.rmtree(clone / ".submodel" / "bundle")
    make_model(clone / ".submodel" / "bundle")
    for asked in ([], ["sub-model"]):
        with pytest.raises(SubmodelError, match="no bundle"):
            find_candidates(asked, clone / ".submodel")


def with_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "junk.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"")


def with_code(folder: Path) -> None:
    code = f"open({str(folder / 'ran')!r}, 'w').close()\nfrom transformers import PretrainedConfig\n"
    (folder / "conf.py").write_text(code + "class AcmeConfig(PretrainedConfig):\n    model_type = 'acme'\n")
    names = {"AutoConfig": "conf.AcmeConfig", "AutoModelForCausalLM": "conf.AcmeModel"}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "acme", "auto_map": names}))


@pytest.mark.parametrize("attack", [with_a_pickle, with_code])
def test_a_model_that_is_named_runs_nothing_either(
    tmp_path: Path, opened: list[Any], attack: Callable[[Path], None]
) -> None:
    """On 63ec2ff torch.load is called, and a person asked whether to run the clone's code."""
    folder = make_model(tmp_path / "model")
    attack(folder)
    [candidate] = find_candidates([str(folder)], tmp_path)
    with pytest.raises(SubmodelError):
        open_predictor(candidate, "auto", torch.float32, print)
    assert opened == []
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", ["evil/model", "./evil", "evil", ["evil"], None, 7])
def test_a_manifest_names_no_base(tmp_path: Path, name: object) -> None:
    own = ScoredModel(name="sub-model", folder=make_model(tmp_path / "model", name))
    with pytest.raises(BuildError, match=r"none of the known bases.*--base"):
        base_of([ScoredModel(name="base", folder=None), own], None)


def test_what_is_one_s_own_is_read(clone: Path) -> None:
    """No attack: what is refused is not all."""
    output = clone / ".submodel"
    trust(output)
    candidates = find_candidates([], output)
    assert [one.name for one in candidates] == ["base", "sub-model"]
    assert base_of(candidates, None) == "smollm2-135m"
    assert "smollm2-135m" in CATALOGUE
    assert base_of(candidates, "owner/name") == "owner/name"
    forget_build(build_of(output / "bundle"))
    assert find_candidates([str(output / "bundle")], output), "it was named"

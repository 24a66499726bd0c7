"""Which models are scored, and on which files: only those that no build may have read."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from builder.bases.resolve import ResolvedBase
from builder.corpus.corpus import SourceFile
from contract.bundle.bundle import graph_of
from contract.bundle.manifest import build_of
from contract.bundle.trusted_builds import trust_build
from contract.errors import BaseModelError, BuildError
from submodel.console import StageDisplay
from submodel.evaluation import predictors
from submodel.evaluation.bundle_predictor import BundlePredictor
from submodel.evaluation.evaluation_run import EvalSettings, _Evaluation, still_held_out
from submodel.evaluation.predictors import base_of, files_held_out_from, find_candidates, open_predictor


def source_file(split, sha256):
    return SourceFile(path=f"{sha256}.py", language="Python", text="x = 1\n", sha256=sha256, split=split)


def own_bundle(root, tiny_bundle):
    """What `submodel build` leaves in `root`: a bundle, and the note that this user's own program made it."""
    folder = Path(shutil.copytree(tiny_bundle.folder, root / "bundle"))
    trust_build(build_of(folder))
    return folder


def make_checkpoint(folder, held_out, learned=()):
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    base = {"name": "smollm2-135m"}
    manifest = {"schema": 1, "base": base, "prompt": {}, "held_out_sha256": held_out, "learned_sha256": learned}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_without_names_everything_there_is_is_scored(tmp_path, tiny_bundle):
    assert [one.name for one in find_candidates([], tmp_path)] == ["base"]
    own_bundle(tmp_path, tiny_bundle)
    assert [one.name for one in find_candidates([], tmp_path)] == ["base", "sub-model"]


def test_names_and_folders(tmp_path, tiny_bundle):
    own, checkpoint = own_bundle(tmp_path, tiny_bundle), make_checkpoint(tmp_path / "model", [])
    candidates = find_candidates([str(checkpoint), "sub-model", "base"], tmp_path)
    assert [one.folder for one in candidates] == [checkpoint, own, None]
    assert base_of(candidates, None) == "smollm2-135m"
    assert base_of(candidates, "auto") == "auto"
    assert base_of(candidates[2:], None) == "auto"


def test_what_any_build_of_this_repository_read_is_known(tmp_path):
    a, b, c, d, e, f = (digit * 64 for digit in "abcdef")
    first = make_checkpoint(tmp_path / "first", [a, b], [c])
    other = make_checkpoint(tmp_path / "other", [b, c], [d])
    foreign = make_checkpoint(tmp_path / "foreign", [e], [f])
    files = [source_file("held-out", sha256) for sha256 in (a, b, c, d)]
    candidates = find_candidates([str(first), str(other), str(foreign), "base"], tmp_path)
    assert files_held_out_from(candidates, files) == frozenset({b})
    assert files_held_out_from(candidates[2:], files) is None
    changed = [source_file("held-out", "0" * 64), source_file("calibration", c)]
    assert files_held_out_from(candidates[:1], changed) == frozenset({a, b})


@pytest.mark.parametrize(("name", "hint"), [("sub-model", "submodel build"), ("nowhere", "folder")])
def test_a_model_that_is_not_there_is_named(tmp_path, name, hint):
    with pytest.raises(BuildError, match=f"{name}.*{hint}"):
        find_candidates([name], tmp_path)


def test_files_that_a_build_may_have_read_are_not_scored():
    files = [source_file("calibration", "a"), source_file("held-out", "b"), source_file("held-out", "c")]
    assert still_held_out(files, None) == (tuple(files), 0)
    assert still_held_out(files, frozenset("b")) == ((files[0], files[1]), 1)
    updated = (source_file("held-out", "a"), files[1])  # it has changed, and its hash says otherwise now
    assert still_held_out(files, frozenset("ab")) == (updated, 1)
    with pytest.raises(BuildError, match="submodel build"):
        still_held_out(files, frozenset("d"))


@pytest.mark.parametrize("schema", [None, 1])
def test_a_report_of_another_version_is_left_alone(tmp_path, schema, tiny_bundle):
    root = tmp_path / ".submodel"
    own_bundle(root, tiny_bundle)
    (root / "report.json").write_text(json.dumps({"models": []} | ({"schema": schema} if schema else {})))
    (root / "report.html").write_text("old")
    said = []
    evaluation = _Evaluation(EvalSettings(repository=tmp_path, models=("sub-model",)), Listener(said))
    evaluation._keep({"models": []})
    assert (root / "report.html").read_text() == "old"
    kept = json.loads((root / "evaluation.json").read_text())
    assert len(kept.pop("mac")) == 64
    assert kept == {"models": [], "graph": graph_of(tiny_bundle.folder)}
    assert "build again" in said[0]


@pytest.mark.parametrize(("sha256", "is_said"), [("a" * 64, True), ("b" * 64, False), (None, False)])
def test_a_base_of_other_weights_than_the_sub_model_was_made_from_is_named(tmp_path, monkeypatch, sha256, is_said):
    folder = make_checkpoint(tmp_path / "model", [])
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["base"] = {"name": "smollm2-135m", **({"sha256": sha256} if sha256 else {})}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    candidates = find_candidates([str(folder), "base"], tmp_path)
    found = ResolvedBase(name="smollm2-135m", path=tmp_path, source="model hub", why="", sha256="b" * 64)
    monkeypatch.setattr(predictors, "resolve_base", lambda *_, **__: found)
    monkeypatch.setattr(predictors, "load_resolved", Mock(side_effect=BaseModelError("unread")))
    said = []
    with pytest.raises(BaseModelError, match="unread"):
        open_predictor(candidates[1], "smollm2-135m", torch.float32, said.append, candidates)
    assert ["was made from other weights than those of smollm2-135m" in one for one in said] == [True] * is_said


class Listener(StageDisplay):
    """Keeps what is said."""

    def __init__(self, said):
        super().__init__()
        self.say = said.append  # type: ignore[method-assign]


def test_the_bundle_s_answers_begin_as_the_server_makes_them(tiny_bundle):
    bundle = replace(tiny_bundle, manifest={**tiny_bundle.manifest, "parameters": 1})
    predictor = BundlePredictor(bundle)
    prompt = predictor.encoder.text_ids("def f(self):\n    return")
    free, begun = predictor.complete([prompt] * 2, lambda count: None, starts=["", " sel"])
    assert begun.startswith(" sel")
    assert not free.startswith(" sel")

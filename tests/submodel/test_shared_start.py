"""A sub-model as the base of another build: it is taken as it is, and the repository gets all the time."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from builder.artifact import read_artifact
from builder.bases.load import load_resolved, resolve_base
from contract.bundle.bundle import read_bundle
from contract.bundle.manifest import MODEL_FILE, build_of
from contract.bundle.trusted_builds import forget_build, trust_build
from contract.errors import BuildError
from exporters import adapter_export
from exporters.adapter_file import merged, read_adapter
from lsp_server.decoding.engine import Engine
from submodel.app import app
from submodel.build import model_stages
from submodel.build.history import read_history
from testbed.git import git
from testbed.models import save_base
from testbed.python_files import write_python
from tests.submodel.training_runs import always_better, plan_one_pass

pytestmark = pytest.mark.slow  # whole builds


def write_repository(root: Path, seed: int) -> Path:
    return write_python(root, range(16), name=f"f_{seed}", rng=random.Random(seed))


def run(*words: object) -> str:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output + repr(done.exception)
    return " ".join(done.output.split())


def build(repository: Path, *options: object) -> str:
    return run("build", repository, "--quantize", "fp32", *options)  # the last option of a name counts


def model_of(repository: Path) -> Path:
    return repository / ".submodel" / "model"


def shape_of(repository: Path) -> tuple[int, int]:
    config = json.loads((model_of(repository) / "config.json").read_text())
    return config["intermediate_size"], config["vocab_size"]


@pytest.fixture(autouse=True, scope="module")
def _nothing_by_chance() -> Iterator[None]:
    """Each training run is kept after a whole pass, and in one number format, however busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        always_better(patch)
        plan_one_pass(patch)
        patch.setattr(model_stages, "fastest_dtype", lambda: torch.float32)
        patch.setattr(model_stages, "is_int8_faster", lambda dtype: False)
        yield


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """A repository whose sub-model is pruned and fine-tuned, and asked with the suffix first."""
    root = tmp_path_factory.mktemp("shared")
    repository = write_repository(root / "shared", 1)
    dense = save_base(root / "dense", kind="qwen2")
    build(repository, "--base", dense, "--size", 0.8, "--minutes", 0.02, "--positions", 0)
    assert read_artifact(model_of(repository)).prompt.suffix_first
    return repository


def test_it_keeps_its_size_its_vocabulary_and_its_prompt_format(shared, tmp_path):
    repository = write_repository(tmp_path / "own", 2)
    output = build(repository, "--base", model_of(shared), "--minutes", 0.02, "--positions", 4)
    assert "shared is a sub-model already: it keeps its size" in output
    assert shape_of(repository) == shape_of(shared)
    made = read_artifact(model_of(repository))
    assert made.manifest is not None
    assert (made.manifest["base"]["name"], made.manifest["plan"]["share_of_base"]) == ("shared", 1.0)
    assert made.prompt == read_artifact(model_of(shared)).prompt


def test_what_the_shared_start_has_learned_from_is_not_held_out(shared, tmp_path):
    repository = write_repository(tmp_path / "own", 11)
    for path in shared.glob("*.py"):
        shutil.copy(path, repository / f"shared_{path.name}")
    output = build(repository, "--base", model_of(shared), "--minutes", 0, "--positions", 4)
    assert "The shared start has learned from" in output
    known, made = (read_artifact(model_of(one)).manifest for one in (shared, repository))
    assert known is not None and made is not None
    assert known["held_out_sha256"] and set(known["held_out_sha256"]) <= set(made["held_out_sha256"])
    assert not set(known["learned_sha256"]) & set(made["held_out_sha256"])
    own = write_repository(tmp_path / "other", 12)
    build(own, "--base", model_of(shared), "--minutes", 0, "--positions", 0)
    history = read_history(own / ".submodel" / "stages")
    assert history is not None
    assert {history.known.texts.get(one) for one in known["learned_sha256"]} == {"calibration"}, "for its updates"
    assert {history.known.texts.get(one) for one in known["held_out_sha256"]} == {"held-out"}

    same = Path(shutil.copytree(shared, tmp_path / "same", ignore=shutil.ignore_patterns(".submodel")))
    for path in same.glob("*.py"):
        if hashlib.sha256(path.read_bytes()).hexdigest() in known["held_out_sha256"]:
            path.unlink()
    assert "Nothing is scored" in build(same, "--base", model_of(shared), "--minutes", 0, "--positions", 4)


def test_a_file_whose_earlier_text_the_shared_start_has_learned_is_not_scored(shared, tmp_path):
    repository = write_repository(tmp_path / "own", 14)
    for path in shared.glob("*.py"):
        shutil.copy(path, repository / f"shared_{path.name}")
    git(repository, "init")
    for text in ("", "\n\ndef last():\n    return 1\n"):
        for path in repository.glob("shared_*.py"):
            path.write_text(path.read_text() + text)
        git(repository, "add", "--all")
        git(repository, "commit", "--message", "change")
    output = build(repository, "--base", model_of(shared), "--minutes", 0, "--positions", 20)
    assert "of which it has learned an earlier text are not scored" in output
    report = json.loads((repository / ".submodel" / "report.json").read_text())
    known = read_artifact(model_of(shared)).manifest
    assert known is not None
    learned = {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in shared.glob("*.py")}
    never = {f"shared_{learned[one]}" for one in known["learned_sha256"] if one in learned}
    assert never and report["answers"] and never.isdisjoint(one["path"] for one in report["answers"])


def test_a_build_does_not_replace_its_own_base(shared):
    done = CliRunner().invoke(app, ["build", str(shared), "--base", str(model_of(shared)), "--minutes", "0"])
    assert isinstance(done.exception, BuildError)
    assert "run `submodel update` to go on from it" in str(done.exception)


def test_a_dense_baseline_of_a_sub_model_is_refused(shared, tmp_path):
    repository = write_repository(tmp_path / "own", 13)
    words = ["build", str(repository), "--base", str(model_of(shared)), "--dense-baseline"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, BuildError)
    assert "--dense-baseline compares with the dense base, and shared is a sub-model" in str(done.exception)


@pytest.fixture(scope="module")
def shared_bundle(shared: Path) -> Path:
    """The bundle in int8 beside the shared model, as a build leaves it by default."""
    bundle = shared / ".submodel" / "bundle"
    run("export", model_of(shared), "-o", bundle, "--quantize", "int8")
    return bundle


@pytest.fixture(scope="module")
def built_with_an_adapter(shared: Path, shared_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that was built from the shared start in int8."""
    repository = write_repository(tmp_path_factory.mktemp("adapter") / "own", 8)
    build(repository, "--base", model_of(shared), "--positions", 0, "--quantize", "int8", "--minutes", 0.02)
    return repository


def test_an_adapter_makes_its_graph_from_the_shared_one(shared, shared_bundle, built_with_an_adapter, tmp_path):
    repository = Path(shutil.copytree(built_with_an_adapter, tmp_path / "own"))
    own, source = read_bundle(repository / ".submodel" / "bundle"), read_bundle(shared_bundle)
    adapter = own.manifest["adapter"]
    assert adapter["shared"] == source.manifest["files"][MODEL_FILE]
    changes = read_adapter(own.folder / adapter["file"], source.model_path.stat().st_size)
    with source.model_path.open("rb") as graph:
        assert b"".join(merged(graph, changes)) == own.model_path.read_bytes() != source.model_path.read_bytes()
    assert own.manifest["parity"]["greedy_agreement"] >= 0.95  # the graph answers as the fine-tuned model
    assert Engine(own, threads=1).generate([5, 6, 7], max_new_tokens=2).prompt_tokens == 3

    # Its model is the shared one: there is nothing to add.
    build(repository, "--base", model_of(shared), "--positions", 0, "--quantize", "int8", "--minutes", 0)
    assert "adapter" not in read_bundle(repository / ".submodel" / "bundle").manifest


def test_an_update_of_it_has_an_adapter_too(shared_bundle, built_with_an_adapter, tmp_path):
    repository = Path(shutil.copytree(built_with_an_adapter, tmp_path / "own"))
    first = read_bundle(repository / ".submodel" / "bundle")
    for path in write_repository(tmp_path / "more", 11).iterdir():
        shutil.copy(path, repository / f"more_{path.name}")
    run("update", repository, "--minutes", 0.02, "--positions", 0)
    last = read_bundle(repository / ".submodel" / "bundle")
    assert last.manifest["files"][MODEL_FILE] != first.manifest["files"][MODEL_FILE]
    source = read_bundle(shared_bundle)
    assert last.manifest["adapter"]["shared"] == source.manifest["files"][MODEL_FILE]
    changes = read_adapter(last.folder / last.manifest["adapter"]["file"], source.model_path.stat().st_size)
    with source.model_path.open("rb") as graph:
        assert b"".join(merged(graph, changes)) == last.model_path.read_bytes()


def test_after_too_many_updates_it_says_what_brings_the_adapter_back(built_with_an_adapter, tmp_path, monkeypatch):
    repository = Path(shutil.copytree(built_with_an_adapter, tmp_path / "own"))
    for path in write_repository(tmp_path / "more", 11).iterdir():
        shutil.copy(path, repository / f"more_{path.name}")
    monkeypatch.setattr(adapter_export, "MOST_RANK", 1)
    said = run("update", repository, "--minutes", 0.02, "--positions", 0)
    assert "the next `submodel build` makes one" in said
    assert "adapter" not in read_bundle(repository / ".submodel" / "bundle").manifest


@pytest.mark.parametrize("reason", ["none", "another model's", "not trusted"])
def test_without_the_shared_bundle_the_graph_is_written_whole(reason, shared, shared_bundle, tmp_path):
    place = tmp_path / "shared" / ".submodel"
    shutil.copytree(model_of(shared), place / "model")
    if reason == "another model's":
        other = save_base(tmp_path / "other", kind="qwen2")
        run("export", other, "-o", place / "bundle", "--quantize", "int8")
    elif reason == "not trusted":
        shutil.copytree(shared_bundle, place / "bundle")
        forget_build(build_of(place / "bundle"))
    repository = write_repository(tmp_path / "own", 9)
    try:
        build(repository, "--base", place / "model", "--positions", 0, "--minutes", 0.02, "--quantize", "int8")
    finally:
        trust_build(build_of(shared_bundle))  # for other tests
    assert "adapter" not in read_bundle(repository / ".submodel" / "bundle").manifest


def test_without_fine_tuning_it_is_the_same_model(shared, tmp_path):
    repository = write_repository(tmp_path / "own", 3)
    build(repository, "--base", model_of(shared), "--minutes", 0, "--positions", 0)
    made, given = (load_file(model_of(one) / "model.safetensors") for one in (repository, shared))
    assert made.keys() == given.keys()
    assert all((made[name] == given[name]).all() for name in made)
    assert read_artifact(model_of(repository)).prompt.suffix_first


def test_a_size_that_is_asked_for_prunes_it_again(shared, tmp_path):
    repository = write_repository(tmp_path / "own", 4)
    output = build(repository, "--base", model_of(shared), "--minutes", 0, "--positions", 0, "--size", 0.95)
    assert "keeps its size" not in output
    assert shape_of(repository) != shape_of(shared)


def test_a_vocabulary_that_was_trimmed_for_other_code_is_named(shared, tmp_path):
    repository = write_repository(tmp_path / "own", 5)
    manifest = model_of(shared) / "manifest.json"
    known = json.loads(manifest.read_text())
    assert known["plan"]["characters_per_token"] > 0.9
    foreign = shutil.copytree(model_of(shared), tmp_path / "foreign")
    known["plan"]["characters_per_token"] *= 2
    (foreign / "manifest.json").write_text(json.dumps(known))
    options = ("--minutes", 0, "--positions", 0)
    assert "The vocabulary of foreign writes this repository in" in build(repository, "--base", foreign, *options)
    again = write_repository(tmp_path / "again", 6)
    assert "The vocabulary of" not in build(again, "--base", model_of(shared), *options)


def test_a_manifest_that_says_nothing_of_the_prompt_is_refused_in_a_sentence(shared, tmp_path):
    broken = shutil.copytree(model_of(shared), tmp_path / "broken")
    known = json.loads((broken / "manifest.json").read_text())
    (broken / "manifest.json").write_text(json.dumps(known | {"prompt": {"colour": 1}}))
    repository = write_repository(tmp_path / "own", 7)
    words = ["build", repository, "--base", broken, "--minutes", 0, "--positions", 0]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code != 0
    assert "prompt format in the manifest can't be read" in " ".join((done.output + str(done.exception)).split())


@pytest.mark.parametrize("plan", [5, {"characters_per_token": "many"}, None])
def test_a_plan_that_says_nothing_of_the_vocabulary_is_passed_over(shared, tmp_path, plan):
    given = shutil.copytree(model_of(shared), tmp_path / "given")
    known = json.loads((given / "manifest.json").read_text())
    (given / "manifest.json").write_text(json.dumps(known | {"plan": plan}))
    assert read_artifact(given).characters_per_token == 0


@pytest.mark.parametrize("manifest", ['{"name": "a web page"}', "[]", "{"])
def test_a_folder_with_a_manifest_that_is_not_a_sub_model_s_is_a_base_as_any(shared, tmp_path, manifest):
    folder = shutil.copytree(model_of(shared), tmp_path / "other")
    (folder / "manifest.json").write_text(manifest)
    base = resolve_base(str(folder))
    assert not base.is_sub_model
    assert load_resolved(base).prompt.is_fim

"""`submodel-lab compare` on folders that `submodel-lab prune` wrote from a base of two random layers."""

import json
import re
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from contract.errors import BuildError
from laboratory.app import app
from laboratory.experiments.compare_run import run_compare
from laboratory.sparsity.mask_file import MASKS, MaskFile
from testbed.models import save_base
from tests.laboratory.tiny_datasets import write_code

pytestmark = pytest.mark.slow  # whole builds

OPTIONS = ["--tokens", "1500", "--dtype", "float32"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two seeds of one dataset, another dataset, and what else may differ."""
    root = tmp_path_factory.mktemp("compare")
    base = save_base(root / "base", kind="qwen2")
    write_code(root / "py", ".py", "#")
    write_code(root / "js", ".js", "//")

    def prune(name, dataset, *arguments):
        command = ["prune", str(root / dataset), "--base", str(base), "-o", str(root / name), *OPTIONS, *arguments]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output + repr(done.exception)
        return root / name

    return {
        "a": prune("a", "py", "--masks-only"),
        "b": prune("b", "py", "--masks-only", "--seed", "1"),
        "c": prune("c", "js", "--masks-only"),
        "plain": prune("plain", "py", "--masks-only", "--prompt-format", "plain"),
        "magnitude": prune("magnitude", "py", "--masks-only", "--method", "magnitude"),
        "bfloat16": prune("bfloat16", "py", "--masks-only", "--dtype", "bfloat16"),
    }


def test_pairs_are_reported_with_their_baselines(folders):
    document = run_compare([folders[name] for name in "abc"])
    assert document["models"] == ["a", "b", "c"]
    assert document["random_baseline"] == pytest.approx(2 / 3)
    assert document["random_simulated"] == pytest.approx(2 / 3, abs=0.01)
    relations = {"|".join(pair["models"]): pair["relation"] for pair in document["pairs"]}
    assert relations == {"a|b": "same dataset, another seed", "a|c": "another dataset", "b|c": "another dataset"}
    distances = document["jaccard_distance"]
    assert document["same_dataset_baseline"] == distances["a|b"]
    assert document["other_dataset_mean"] == pytest.approx((distances["a|c"] + distances["b|c"]) / 2)
    assert 0 < distances["a|b"] < distances["a|c"] < document["random_baseline"]


def test_distances_are_those_of_all_weights_and_of_each_part(folders):
    document = run_compare([folders["a"], folders["c"]])
    one, other = (MaskFile(folders[name] / MASKS) for name in "ac")

    def distance(names):
        left = np.concatenate([one.read(name).ravel() for name in names])
        right = np.concatenate([other.read(name).ravel() for name in names])
        return 1 - (left & right).sum() / (left | right).sum()

    assert document["jaccard_distance"]["a|c"] == pytest.approx(distance(one.names))
    assert len(document["layers"]) == 2
    for layer in document["layers"]:
        inside = [name for name in one.names if name.startswith(f"layers.{layer['layer']}.")]
        assert layer["jaccard_distance"]["a|c"] == pytest.approx(distance(inside))
        for module, figures in layer["modules"].items():
            assert figures["a|c"] == pytest.approx(distance([f"layers.{layer['layer']}.{module}"]))
    up = document["modules"]["mlp.up_proj"]["a|c"]
    assert up == pytest.approx(distance([name for name in one.names if name.endswith("up_proj")]))


def test_the_command_prints_draws_and_answers(folders, tmp_path):
    picture = tmp_path / "regions.svg"
    command = ["compare", *(str(folders[name]) for name in "abc"), "--picture", str(picture), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["models"] == ["a", "b", "c"]
    page = picture.read_text()
    assert page.startswith("<svg xmlns=")
    assert not re.search(r"<script|href", page)
    assert all(f">{label}<" in page for label in ("a|b", "a|c", "b|c", "random"))  # a line each


@pytest.mark.parametrize(
    ("other", "relation"),
    [("magnitude", "another method"), ("plain", "another prompt format"), ("bfloat16", "another method")],
)
def test_what_else_differs_is_reported_before_the_dataset(folders, other, relation):
    assert [pair["relation"] for pair in run_compare([folders["c"], folders[other]])["pairs"]] == [relation]


def test_what_does_not_compare_is_reported(folders, tmp_path):
    with pytest.raises(BuildError, match="two folders"):
        run_compare([folders["a"]])
    with pytest.raises(BuildError, match="prune"):
        run_compare([folders["a"], tmp_path])
    foreign = shutil.copytree(folders["c"], tmp_path / "foreign")
    manifest = json.loads((foreign / "manifest.json").read_text())
    manifest["base"]["sha256"] = "other"
    (foreign / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BuildError, match="two bases"):
        run_compare([folders["a"], foreign])

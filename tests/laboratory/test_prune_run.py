"""`submodel-lab prune` on a base of two random layers: what lies in the folder afterwards."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from builder.artifact import read_artifact
from contract.errors import BuildError
from laboratory.app import app
from laboratory.experiments.method import MethodSettings
from laboratory.experiments.prune_run import PruneRunSettings, run_prune
from laboratory.experiments.study_options import calibration_specs, choose_dtype, parse_prompt_format, parse_ratios
from laboratory.sparsity.mask_file import MASKS, MaskFile
from submodel.console import StageDisplay
from testbed.models import save_base
from tests.laboratory.tiny_datasets import write_code

pytestmark = pytest.mark.slow  # whole builds


@pytest.fixture
def base(tmp_path):
    return save_base(tmp_path / "base", kind="qwen2")


@pytest.fixture
def repository(tmp_path):
    write_code(tmp_path / "repository", ".py", "#")
    return tmp_path / "repository"


def prune(repository, base, output, *arguments):
    command = ["prune", str(repository), "--base", str(base), "-o", str(output), "--tokens", "2000", "--json"]
    command += ["--dtype", "float32"]
    done = CliRunner().invoke(app, [*command, *map(str, arguments)])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return json.loads(done.stdout)


@pytest.mark.parametrize("arguments", [("--method", "sparsegpt"), ("--sparsity", 0.25)])
def test_a_sparse_folder_is_a_plain_model_that_says_what_it_is(repository, base, tmp_path, arguments):
    document = prune(repository, base, tmp_path / "out", *arguments)
    share = 0.25 if 0.25 in arguments else 0.5
    assert document["plan"]["achieved"] == pytest.approx(share, abs=0.01)
    assert "not smaller" in document["note"]
    manifest = read_artifact(tmp_path / "out").manifest
    assert manifest["kind"] == "sparse"
    assert "No maintained CPU runtime runs it faster" in manifest["note"]
    assert manifest["base"]["sha256"]
    assert manifest["calibration"]["tokens"] == 2000
    assert manifest["held_out_sha256"] and manifest["learned_sha256"]
    assert read_artifact(tmp_path / "out").parity_prompts()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").encode("value")
    masks = MaskFile(tmp_path / "out" / MASKS)
    assert len(masks.names) == 14
    zeros = 0
    for name in masks.names:
        kept = torch.from_numpy(masks.read(name))
        weight = model.model.get_submodule(name).weight
        assert (weight[~kept] == 0).all()
        zeros += int((~kept).sum())
    assert zeros == manifest["zero_parameters"]


def test_masks_alone_are_no_model_and_small(repository, base, tmp_path):
    prune(repository, base, tmp_path / "out", "--masks-only")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", MASKS]
    with pytest.raises(BuildError, match="is no model"):
        read_artifact(tmp_path / "out")


def test_seeds_and_datasets_decide_masks(repository, base, tmp_path):
    write_code(tmp_path / "other", ".js", "//")

    def masks(name, *arguments):
        prune(repository, base, tmp_path / name, "--masks-only", *arguments)
        return (tmp_path / name / MASKS).read_bytes()

    first = masks("a")
    assert masks("b") == first
    assert masks("c", "--seed", 1) != first
    assert masks("d", "--calibration", tmp_path / "other") != first
    assert masks("e", "--method", "magnitude") == masks("f", "--method", "magnitude", "--seed", 1)


def test_options():
    assert calibration_specs(None, None) == (str(Path.cwd()),)
    assert calibration_specs(None, ["text"]) == ("text",)
    assert calibration_specs(Path("./text"), ["text", "."]) == (str(Path.cwd() / "text"), "text", str(Path.cwd()))
    assert calibration_specs(Path(), [".", "text", "text"]) == (str(Path.cwd()), "text")
    assert parse_ratios("0.1:0.7:0.1") == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert parse_ratios("0.5") == (0.5,)
    assert parse_ratios("0.1,0.6") == (0.1, 0.6)
    for wrong in ("a", "0.1:0.7", "0.7:0.1:0.1", "0.1:0.7:0"):
        with pytest.raises(BuildError, match="START:END:STEP"):
            parse_ratios(wrong)
    with pytest.raises(BuildError, match="prompt or plain"):
        parse_prompt_format("verse")
    assert choose_dtype("bfloat16") == torch.bfloat16
    with pytest.raises(BuildError, match="float32 or bfloat16"):
        choose_dtype("float8")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "lottery"}, "structured"),
        ({"method": "structured", "sparsity": 0.99}, "out of range"),
        ({"method": "structured", "prompt_format": "plain"}, "--prompt-format"),
        ({"sparsity": 1.5}, "below 1"),
    ],
)
def test_what_cannot_be_is_reported_before_anything_is_loaded(settings, words):
    with pytest.raises(BuildError, match=words):
        MethodSettings(**settings)


def test_a_folder_with_other_files_is_reported_before_anything_is_loaded(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    settings = PruneRunSettings(output=tmp_path, calibration=("nowhere",))
    with pytest.raises(BuildError, match="holds files"), StageDisplay() as display:
        run_prune(settings, display)

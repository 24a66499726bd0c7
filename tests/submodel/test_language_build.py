"""`submodel build --language`: a model of a language, without a repository; with a base of two random layers."""

import json
from pathlib import Path

import pytest
from msgspec import convert
from tokenizers import Tokenizer
from typer.testing import CliRunner

from builder import datasets
from builder.artifact import read_artifact
from builder.evaluation.scores import is_worse
from contract.documents import BuildProgress, BuildReport, Manifest
from contract.errors import BuildError, CorpusError
from submodel.app import app
from submodel.build.build_settings import BuildSettings
from testbed.models import save_base
from tests.builder.tiny_datasets import play_index

pytestmark = pytest.mark.slow  # whole builds


@pytest.fixture
def index(tmp_path, monkeypatch):
    return play_index(tmp_path, monkeypatch)


def run(*arguments):
    return json.loads(invoke(*arguments, "--json").stdout)


def invoke(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done


def test_a_language_is_built_and_evaluated_by_its_name(index, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "cache_folder", lambda: index)
    base = save_base(tmp_path / "base", kind="qwen2")
    options = (
        "--base",
        base,
        "--size",
        0.8,
        "--minutes",
        0,
        "--quantize",
        "fp32",
        "--positions",
        6,
        "--dense-baseline",
    )
    document = run("build", "--language", "python", *options)
    assert set(document["corpus"]["languages"]) == {"Python"}
    folder = tmp_path / "submodel-python"
    assert document["paths"]["model"] == "submodel-python/model"
    convert(document, BuildReport)
    assert document["is_worse"] is is_worse(document["against_base"]["sub-model"])
    convert(json.loads((folder / "bundle" / "bundle.json").read_text()), Manifest)
    page = (folder / "report.html").read_text()
    assert "<h1>python</h1>" in page
    assert "dense baseline" in page
    ours, dense_baseline = document["models"][1], document["dense_baseline"]
    assert dense_baseline["parameters"] > ours["parameters"]
    assert dense_baseline["bundle_bytes"]["dense base, fine-tuned"] > dense_baseline["bundle_bytes"]["sub-model"]
    assert dense_baseline["milliseconds"].keys() == dense_baseline["bundle_bytes"].keys()
    base_bits = document["models"][0]["bits_per_byte"]  # one of torch, the other of the exported graph
    assert dense_baseline["bits_per_byte"] == pytest.approx(base_bits, rel=1e-3), "not tuned at all it is the base"
    manifest = json.loads((folder / "model" / "manifest.json").read_text())
    assert manifest["language"] == "language:python"
    assert [one["distribution"] for one in manifest["distributions"]] == ["npm:pack@1"]
    again = invoke("build", "--language", "python", *options, "--progress", "json").stderr.splitlines()
    progress = [convert(json.loads(line), BuildProgress) for line in again if line.startswith("{")]
    kept = [one["stage"] for one in progress if one.get("state") == "kept"]
    assert kept == [stage["name"] for stage in document["stages"]]
    assert "base" in progress[-1]["text"], "the table of models"
    scored = run("eval", "--language", "javascript", "--model", folder / "model", "--positions", 4, "--blocks", 0)
    assert set(scored["models"][0]["languages"]) == {"JavaScript"}
    assert not layout(folder / "model"), "nothing has taught it another than its base's"
    run("build", "--language", "python", *("0.02" if option == 0 else option for option in options))
    assert layout(folder / "model")
    assert not layout(folder / "pruned"), "that is before it is taught"
    model = read_artifact(folder / "model")
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    assert model.parity_prompts()[0]["prompt_ids"][1] == tokenizer.token_to_id(model.prompt.suffix_token)
    assert json.loads((folder / "bundle" / "bundle.json").read_text())["prompt"]["suffix_first"]
    assert layout(folder / "dense-baseline" / "model"), "it learns the same order"


def layout(model):
    """Whether the suffix comes first."""
    return json.loads((model / "manifest.json").read_text())["prompt"]["suffix_first"]


def test_packages_of_ones_own(index, tmp_path):
    named = datasets.open_language("javascript", ["npm:jack@1"], cache_dir=index)
    assert {Path(file.path).parts[0] for file in named.corpus.files} == {"src"}
    with pytest.raises(CorpusError, match="npm:jack@1 has no python"):
        datasets.open_language("python", ["npm:jack@1"], cache_dir=index)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"language": "cobol"}, "cobol"),
        ({"sources": ("npm:jack@1",)}, "--language"),
        ({"dense_baseline": True, "positions": 0}, "--positions"),
        ({"language": "python", "repository": Path(), "sources": ("jack",)}, "names no source distribution"),
        ({"language": "python"}, "in place of"),
    ],
)
def test_what_cannot_be_is_reported_at_once(tmp_path, settings, words):
    with pytest.raises((BuildError, CorpusError), match=words):
        BuildSettings(**{"repository": tmp_path, "output": tmp_path, **settings})

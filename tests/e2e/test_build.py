"""The main job, for real: the packaged small base on this project's own source, to bundle and completions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from builder.corpus.corpus import read_corpus
from builder.evaluation.scores import is_worse
from contract.bundle.bundle import read_bundle
from contract.prompt import PromptEncoder

ROOT = Path(__file__).parents[2]
PACKAGES = ("builder", "exporters", "lsp_server", "submodel", "benchmarks")


OPTIONS = ("--base", "smollm2-135m", "--minutes", 0.5, "--positions", 24, "--json")


def submodel(*arguments: object, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "submodel", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT)


@pytest.fixture(scope="session")
def repository(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    return folder


@pytest.fixture(scope="session")
def built(repository, smollm2_gguf):
    done = submodel("build", repository, *OPTIONS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_document_keeps_its_promise(built, repository):
    assert [model["name"] for model in built["models"]] == ["base", "sub-model"]
    base, sub_model = built["models"]
    for model in built["models"]:
        assert model["positions"] == 24
        assert 0.2 < model["bits_per_byte"] < 2
        assert 0 <= model["fim_exact_match"] <= 1
        assert 0 < model["fim_edit_similarity"] <= 1
    assert sub_model["parameters"] <= 0.66 * base["parameters"]
    bundle = read_bundle(Path(built["paths"]["bundle"]))
    assert sub_model["bytes"] == bundle.model_path.stat().st_size < base["bytes"]
    assert bundle.manifest["quantization"] in ("int8", "int8-weights"), "the latter where the former fails its check"
    assert {stage["name"] for stage in built["stages"]} >= {"prune", "export"}
    for path in built["paths"].values():
        assert Path(path).exists()
    report = Path(built["paths"]["report"])  # which quotes held-out code
    assert [path.stat().st_mode & 0o077 for path in (report, report.with_suffix(".json"))] == [0, 0]
    assert (repository / ".submodel" / ".gitignore").read_text() == "*\n"


def test_fine_tuning_lowers_the_loss_and_the_report_shows_it(built):
    loss = built["finetuning"]["validation_loss"]
    assert loss["after"] < loss["before"]
    assert built["against_base"].keys() == {"sub-model"}
    assert built["is_worse"] is is_worse(built["against_base"]["sub-model"])
    assert [row["name"] for row in built["baselines"]] == ["similar line", "n-gram"]
    page = Path(built["paths"]["report"]).read_text("utf-8")
    assert "<svg" in page
    assert not re.search(r"(?:src|href)=", page)  # nothing is fetched


def test_eval_agrees_with_the_build(built, repository):
    done = submodel("eval", repository, "--model", "sub-model", "--positions", 24, "--blocks", 4, "--json")
    assert done.returncode == 0, done.stderr
    (scored,) = json.loads(done.stdout)["models"]
    for figure in ("bits_per_byte", "positions"):
        assert scored[figure] == built["models"][1][figure], figure
    # Measured times set the length of drafts, and sums over other numbers of rows round otherwise: one may change.
    for figure in ("fim_exact_match", "fim_edit_similarity"):
        assert scored[figure] == pytest.approx(built["models"][1][figure], abs=1.01 / 24), figure
    assert scored["multi_line_positions"] == 4
    assert sum(language["positions"] for language in scored["languages"].values()) == 24


def test_the_sub_model_is_a_plain_transformers_folder(built):
    model = AutoModelForCausalLM.from_pretrained(built["paths"]["model"])
    tokenizer = AutoTokenizer.from_pretrained(built["paths"]["model"])
    assert sum(p.numel() for p in model.parameters()) == built["models"][1]["parameters"]
    ids = tokenizer("def main(argument):\n    return argument\n", return_tensors="pt")
    assert model(**ids).loss is None
    assert tokenizer.decode(ids["input_ids"][0]) == "def main(argument):\n    return argument\n"
    manifest = json.loads((Path(built["paths"]["model"]) / "manifest.json").read_text())
    assert manifest["base"]["sha256"]
    assert manifest["licence"] == "Apache-2.0"
    assert manifest["peak_rss_bytes"] > 1e8


def test_the_trimmed_tokenizer_keeps_the_segmentation_of_what_was_learned(built, repository, smollm2_gguf):
    from builder.gguf.reader import open_gguf
    from builder.gguf.tokenizer import read_tokenizer

    with open_gguf(smollm2_gguf) as gguf:
        base = read_tokenizer(gguf).tokenizer
    trimmed = AutoTokenizer.from_pretrained(built["paths"]["model"]).backend_tokenizer
    for file in read_corpus(repository).learned:
        assert trimmed.encode(file.text).tokens == base.encode(file.text).tokens, file.path


def test_a_second_build_repeats_nothing(built, repository):
    done = submodel("build", repository, *OPTIONS)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert not any(stage["is_fresh"] for stage in again["stages"])
    assert again["models"] == built["models"]


def test_held_out_lines_are_completed_from_the_bundle(built, repository, tmp_path):
    """The command line gives what the build scored, on text in which the answer is hidden.

    Measured times set the length of drafts, and sums over other numbers of rows round otherwise. So one answer may
    differ from the build's, by a near tie.

    Both take back what is begun at the cursor. The server alone makes the answer begin with it, so that a model that
    does not is left out here; so are words and blank lines, which the server asks otherwise.
    """
    bundle = read_bundle(Path(built["paths"]["bundle"]))
    encoder = PromptEncoder(Tokenizer.from_file(str(bundle.tokenizer_path)), bundle.prompt)
    texts = {file.path: file.text for file in read_corpus(repository).files}
    said = [answer for answer in built["answers"] if answer["line"].strip() and answer["answers"]["sub-model"]]
    alike = [answer for answer in said if not answer["line"][-1].isidentifier()]
    asked = alike[:6]
    assert asked
    differing: list[tuple[str, str]] = []
    for answer in asked:
        text, offset = texts[answer["path"]], answer["offset"]
        hidden = text[:offset] + text[offset + len(answer["truth"]) :]
        file = tmp_path / Path(answer["path"]).name
        file.write_text(hidden)
        line, start = hidden[:offset].count("\n"), hidden.rfind("\n", 0, offset) + 1
        character = len(hidden[start:offset].encode("utf-16-le")) // 2
        done = submodel(
            "complete", file, "--line", line, "--character", character, "--bundle", built["paths"]["bundle"], "--json"
        )
        assert done.returncode == 0, done.stderr
        reported = json.loads(done.stdout)
        assert not reported["is_from_short_prompt"]
        said = reported["raw"].removeprefix(encoder.taken_back(hidden[:offset])).split("\n")[0]
        assert said.startswith(reported["text"].split("\n")[0])
        scored = answer["answers"]["sub-model"]
        shorter, longer = sorted((said, scored), key=len)  # each ends at its number of tokens
        if not shorter or not longer.startswith(shorter):
            differing.append((said, scored))
    assert len(differing) <= min(1, len(asked) - 1), differing


def test_a_changed_bundle_is_named(built, tmp_path):
    copy = shutil.copytree(built["paths"]["bundle"], tmp_path / "bundle")
    model = read_bundle(copy).model_path
    with model.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    done = submodel("complete", ROOT / "README.md", "--line", 0, "--character", 0, "--bundle", copy)
    assert done.returncode == 1
    assert "onnx/model.onnx" in done.stderr
    assert "Traceback" not in done.stderr

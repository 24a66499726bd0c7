from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from optimum.onnxruntime import ORTModelForCausalLM
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from builder.artifact import read_artifact
from contract.bundle.bundle import WORKSPACE_BUNDLE, read_bundle
from contract.bundle.drafts import FOLDER, open_index
from contract.bundle.previous import previous_bundles
from contract.errors import BuildError, ExportError, SubmodelError
from contract.prompt import PromptFormat
from exporters import graph as graph_module
from exporters import graph_writer as writer_module
from exporters.bundle_export import add_precision, export_any, export_bundle
from exporters.checkpoint_reader import MAX_POSITIONS, Checkpoint, DecoderShape
from exporters.configuration_files import describe_graphs, write_configs
from exporters.graph_writer import GraphWriter
from exporters.parity import ExportSettings, ParityReport, ParitySettings
from exporters.precision import Precision
from exporters.prompts import choose_prompts

# Of random weights the next token is nearly a tie, so int8 agrees seldom.
LOOSE = ParitySettings(prompts=6, max_prompt_tokens=64, continuation_tokens=4, min_agreement=0.3, max_loss_increase=0.1)
FP32 = ExportSettings(precision=Precision.FP32, parity=LOOSE)
INT8 = ExportSettings(precision=Precision.INT8, parity=LOOSE)


BASE = {"name": "random", "sha256": "0" * 64}


@pytest.fixture
def sub_model(tmp_path: Path, model_folder: Callable[[str], Path]) -> Path:
    """A folder as the builder writes it."""
    folder = Path(shutil.copytree(model_folder("llama-tied"), tmp_path / "model"))
    manifest = {
        "schema": 1,
        "base": BASE | {"why": "it is the best that is available (no room in /home/ada/.cache)"},
        "licence": "Apache-2.0",
        "prompt": PromptFormat(stop_tokens=("<|unused|>",), max_prefix_tokens=99).to_json(),
        "plan": {"ffn_width": 128},
        "calibration": {"sequences": 3},
        "parameters": 98_000,
        "stages": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rng = np.random.default_rng(0)
    prompts = [{"prompt_ids": rng.integers(0, 256, 20).tolist(), "truth_ids": [65, 66]} for _ in range(8)]
    (folder / "parity_prompts.json").write_text(json.dumps(prompts))
    return folder


def test_the_repository_s_tokens_travel_as_drafts(sub_model: Path, tmp_path: Path) -> None:
    bundle = export_bundle(sub_model, tmp_path / "bundle", FP32, drafts=[[5, 6, 7, 8, 9], [7, 8, 1]])
    assert bundle.manifest["drafts"] == {"tokens": 10}
    assert "drafts/tokens.npy" in bundle.manifest["files"]
    index = open_index(bundle.folder / FOLDER)
    assert index is not None
    assert index.propose([5, 6, 7, 8], 3) == (4, [9])
    without = export_bundle(sub_model, tmp_path / "other", FP32)
    assert open_index(without.folder / FOLDER) is None
    assert "drafts" not in without.manifest


def test_an_export_over_the_bundle_of_the_same_sub_model_keeps_its_drafts(sub_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / WORKSPACE_BUNDLE
    first = export_bundle(sub_model, folder, FP32, drafts=[[5, 6, 7, 8, 9]])
    again = export_bundle(sub_model, folder, INT8)
    assert again.manifest["quantization"] != "fp32"
    assert dict(again.manifest["drafts"]) == {"tokens": 6}
    drafts = {name for name in first.manifest["files"] if name.startswith("drafts/")}
    assert drafts and {name for name in again.manifest["files"] if name.startswith("drafts/")} == drafts
    assert previous_bundles(folder) == [], "it is the same model"
    document = json.loads((sub_model / "manifest.json").read_text())
    (sub_model / "manifest.json").write_text(json.dumps(document | {"finetuning": {"minutes": 1}}))
    other = export_bundle(sub_model, folder, FP32)
    assert "drafts" not in other.manifest
    assert len(previous_bundles(folder)) == 1


@pytest.mark.parametrize("settings", [FP32, INT8], ids=["fp32", "int8"])
def test_exports_a_sub_model(sub_model: Path, tmp_path: Path, settings: ExportSettings) -> None:
    events: list[str] = []
    bundle = export_bundle(sub_model, tmp_path / "bundle", settings, on_event=events.append)
    assert bundle == read_bundle(tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / "bundle.json").read_text("utf-8"))
    source = json.loads((sub_model / "manifest.json").read_text())
    assert manifest["base"] == BASE, "what names folders of the machine stays there"
    for key in ("licence", "plan", "calibration", "parameters", "prompt"):
        assert manifest[key] == source[key], key
    assert manifest["quantization"] == str(settings.precision)
    assert manifest["parity"]["max_logit_difference"] < 1e-3
    assert ("greedy_agreement" in manifest["parity"]) == (settings is INT8)
    assert sorted(manifest["files"]) == [
        "config.json",
        "genai_config.json",
        "generation_config.json",
        "onnx/model.onnx",
        "tokenizer.json",
    ]
    for name in ("config.json", "tokenizer.json"):
        assert (bundle.folder / name).read_bytes() == (sub_model / name).read_bytes()
    assert bundle.prompt.max_prefix_tokens == 99
    maxima = [node.op_type for node in onnx.load(bundle.model_path).graph.node].count("ReduceMax")
    assert maxima == (2 * Checkpoint(sub_model).shape.layers if settings is INT8 else 0), "int8 is in a rotated basis"
    assert len(events) == len(set(events)) > 1
    assert not any("it was asked for" in event for event in events), "no base was chosen"


def test_a_float32_graph_is_checked_on_the_longest_prompt_too(
    sub_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = json.loads((sub_model / "parity_prompts.json").read_text())
    prompts[3]["prompt_ids"] = 6 * prompts[3]["prompt_ids"]
    (sub_model / "parity_prompts.json").write_text(json.dumps(prompts))
    assert export_bundle(sub_model, tmp_path / "bundle", FP32).manifest["parity"]["logit_prompts"] == 3
    rotary_tables = graph_module.rotary_tables

    def spoiled(shape: DecoderShape) -> tuple[np.ndarray, np.ndarray]:
        cosines, sines = rotary_tables(shape)
        cosines[100:] = np.nan
        return cosines, sines

    monkeypatch.setattr(graph_module, "rotary_tables", spoiled)
    with pytest.raises(ExportError, match="differs from the checkpoint by nan"):
        export_bundle(sub_model, tmp_path / "bundle", FP32)


def test_other_runtimes_end_where_our_engine_does(sub_model: Path, tmp_path: Path) -> None:
    manifest = json.loads((sub_model / "manifest.json").read_text())
    manifest["prompt"] = PromptFormat(
        prefix_token="<|fim_prefix|>",
        suffix_token="<|fim_suffix|>",
        middle_token="<|fim_middle|>",
        stop_tokens=("<|fim_prefix|>", "<|unused|>"),
        end_token="<|unused|>",
    ).to_json()
    (sub_model / "manifest.json").write_text(json.dumps(manifest))
    bundle = export_bundle(sub_model, tmp_path / "bundle", FP32)
    tokenizer = Tokenizer.from_file(str(bundle.tokenizer_path))
    ends = [tokenizer.token_to_id(token) for token in ("<|unused|>", "<|fim_prefix|>")]
    genai = json.loads((bundle.folder / "genai_config.json").read_text())
    generation = json.loads((bundle.folder / "generation_config.json").read_text())
    assert genai["model"]["eos_token_id"] == generation["eos_token_id"] == [*ends, 256]
    assert json.loads((bundle.folder / "config.json").read_text())["eos_token_id"] == 256


@pytest.mark.parametrize(
    ("config_ends", "generation", "written"),
    [
        ([5, 256], {"eos_token_id": 256}, [5, 256]),
        (256, {"eos_token_id": [256, 5]}, [256, 5]),
        (256, {"eos_token_id": None}, 256),
        (256, {}, None),
        ([5, 256], {}, None),
        (256, {"eos_token_id": 256}, 256),
    ],
)
def test_generation_config_has_every_end(
    sub_model: Path, tmp_path: Path, config_ends: object, generation: dict[str, object], written: object
) -> None:
    """That file wins over config.json where it names ends."""
    config = json.loads((sub_model / "config.json").read_text())
    (sub_model / "config.json").write_text(json.dumps({**config, "eos_token_id": config_ends}))
    (sub_model / "generation_config.json").write_text(json.dumps(generation))
    write_configs(tmp_path, Checkpoint(sub_model), ())
    assert json.loads((tmp_path / "generation_config.json").read_text()).get("eos_token_id") == written


def test_other_runtimes_are_told_the_positions_that_the_graph_has(sub_model: Path, tmp_path: Path) -> None:
    config = json.loads((sub_model / "config.json").read_text())
    (sub_model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4 * MAX_POSITIONS}))
    (sub_model / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 10**30, "bos_token": None}))
    write_configs(tmp_path, Checkpoint(sub_model), ())
    written = {name: json.loads((tmp_path / name).read_text()) for name in ("config.json", "tokenizer_config.json")}
    assert written["config.json"] == {**config, "max_position_embeddings": MAX_POSITIONS}
    assert written["tokenizer_config.json"] == {"model_max_length": MAX_POSITIONS, "bos_token": None}


def test_transformers_js_is_shown_the_cache_and_the_weights_beside_a_graph(sub_model: Path, tmp_path: Path) -> None:
    shutil.copyfile(sub_model / "config.json", tmp_path / "config.json")
    plain = (tmp_path / "config.json").read_bytes()
    main, variant = "onnx/model.onnx", "onnx/model_fp16.onnx"
    describe_graphs(tmp_path, {main: "int8"})
    assert (tmp_path / "config.json").read_bytes() == plain
    (tmp_path / "onnx").mkdir()
    for file in (main, variant):
        (tmp_path / f"{file}_data").touch()
    for precisions, halves in (({main: "fp16"}, ["fp32"]), ({main: "int8", variant: "fp16"}, ["fp16"])):
        describe_graphs(tmp_path, precisions)
        written = json.loads((tmp_path / "config.json").read_text())["transformers.js_config"]
        assert written == {
            "kv_cache_dtype": dict.fromkeys(halves, "float16"),
            "use_external_data_format": {Path(file).name: True for file in precisions},
        }


def test_the_progress_is_one_of_the_whole_export(sub_model: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    export_bundle(sub_model, tmp_path / "bundle", INT8, on_progress=lambda done, total: seen.append((done, total)))
    shares = [done / total for done, total in seen]
    assert shares == sorted(shares)
    assert shares[0] < 0.5 < shares[-1] == 1
    assert {total for _, total in seen} == {1_000}
    assert len(shares) >= 2 * len(Checkpoint(sub_model).names), "one for each reading"


@pytest.mark.slow
def test_exports_a_foreign_checkpoint(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """No manifest: the prompt's form is read off the tokenizer, the parity prompts are this package's own code."""
    bundle = export_any(model_folder("qwen2-untied"), tmp_path / "bundle", INT8)
    assert bundle.prompt.prefix_token == "<|fim_prefix|>"
    assert "<|endoftext|>" in bundle.prompt.stop_tokens
    assert bundle.manifest["parity"]["prompts"] == 6
    assert len(bundle.manifest["base"]["sha256"]) == 64
    model = AutoModelForCausalLM.from_pretrained(model_folder("qwen2-untied"))
    assert bundle.manifest["parameters"] == model.num_parameters()


@pytest.mark.slow
@pytest.mark.parametrize("use_io_binding", [False, True])
@pytest.mark.parametrize("kind", ["llama-tied", "qwen2-untied"])
def test_optimum_loads_it_and_says_the_same(
    model_folder: Callable[[str], Path], tmp_path: Path, kind: str, use_io_binding: bool
) -> None:
    folder = model_folder(kind)
    bundle = export_bundle(folder, tmp_path / "bundle", FP32)
    theirs = ORTModelForCausalLM.from_pretrained(bundle.folder, use_io_binding=use_io_binding)
    ours = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([[70, 111, 111, 32, 98, 97, 114]])
    options: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    mask = torch.ones_like(ids)
    wanted = ours.generate(ids, attention_mask=mask, **options)
    assert theirs.generate(ids, attention_mask=mask, **options).tolist() == wanted.tolist()


@pytest.mark.slow
def test_describes_itself_to_onnxruntime_genai(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = export_bundle(model_folder("llama-tied"), tmp_path / "bundle", FP32)
    config = json.loads((bundle.folder / "genai_config.json").read_text("utf-8"))
    model, decoder = config["model"], config["model"]["decoder"]
    assert (model["type"], model["context_length"], model["vocab_size"]) == ("llama", 2048, 261)
    assert (model["eos_token_id"], model["pad_token_id"]) == ([256, 257, 258, 259], 256)
    assert (bundle.folder / decoder["filename"]) == bundle.model_path
    assert (decoder["num_hidden_layers"], decoder["num_key_value_heads"], decoder["head_size"]) == (2, 2, 16)
    assert config["search"]["past_present_share_buffer"] is True


def test_what_our_graph_does_not_do_goes_through_optimum_in_fp32(
    sub_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((sub_model / "config.json").read_text())
    (sub_model / "config.json").write_text(json.dumps({**config, "rope_scaling": {"type": "linear", "factor": 2.0}}))
    asked: list[Path] = []
    monkeypatch.setattr("exporters.optimum_export.export_with_optimum", lambda folder, *_, **__: asked.append(folder))
    with pytest.raises(ExportError, match=r"rope_scaling.*--quantize fp32`, which goes through optimum"):
        export_any(sub_model, tmp_path / "bundle", INT8)
    assert not asked
    export_any(sub_model, tmp_path / "bundle", FP32)
    assert asked == [sub_model]


def test_a_failed_check_keeps_the_old_bundle(sub_model: Path, tmp_path: Path) -> None:
    old = export_bundle(sub_model, tmp_path / "bundle", FP32)
    strict = replace(INT8, parity=replace(LOOSE, min_agreement=1.01))
    with pytest.raises(ExportError, match="picks the checkpoint's token"):
        export_bundle(sub_model, tmp_path / "bundle", strict)
    assert read_bundle(tmp_path / "bundle") == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "model"]


def test_an_int8_graph_that_fails_its_check_gives_way_to_a_finer_one(sub_model: Path, tmp_path: Path) -> None:
    events: list[str] = []
    strict = replace(INT8, parity=replace(LOOSE, min_agreement=0.97))  # int8 picks 21 of 24 tokens here
    bundle = export_bundle(sub_model, tmp_path / "bundle", strict, on_event=events.append)
    assert bundle.manifest["quantization"] == "int8-weights"
    assert bundle.manifest["parity"]["greedy_agreement"] >= 0.97
    assert any("trying a finer one" in event for event in events)


def test_a_model_that_blocks_do_not_divide_has_no_graph_with_blocks(sub_model: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(sub_model)
    checkpoint.shape = replace(checkpoint.shape, ffn_width=100)
    blocks = ExportSettings(precision=Precision.INT8_WEIGHTS, parity=LOOSE)
    writer = GraphWriter(checkpoint=checkpoint, references=[], settings=blocks, on_event=lambda text: None)
    with pytest.raises(ExportError, match="divides into blocks for int8-weights; export it as int8"):
        writer.write_quantized(tmp_path / "model.onnx", ParityReport(logit_prompts=0), lambda done, total: None)
    assert not (tmp_path / "model.onnx").exists()


def test_a_full_disk_keeps_the_old_bundle(sub_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = export_bundle(sub_model, tmp_path / "bundle", FP32)

    def save_half(model: object, path: Path, **options: object) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(writer_module, "save_graph", save_half)
    with pytest.raises(ExportError, match="No space left on device; free space"):
        export_bundle(sub_model, tmp_path / "bundle", INT8)
    assert read_bundle(tmp_path / "bundle") == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "model"]


def test_refuses_what_is_no_model(tmp_path: Path, sub_model: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        for export in (export_bundle, export_any):
            with pytest.raises(SubmodelError, match=r"is no (model|folder)"):
                export(folder, tmp_path / "bundle", INT8)
    (sub_model / "tokenizer.json").unlink()
    with pytest.raises(SubmodelError, match=r"tokenizer\.json missing"):
        export_bundle(sub_model, tmp_path / "bundle", INT8)
    assert not (tmp_path / "bundle").exists()


def test_parity_is_checked_on_a_few_whole_prompts_and_many_short_ones() -> None:
    class Source:
        folder = Path("model")

        def parity_prompts(self) -> list[dict[str, list[int]]]:
            return [{"prompt_ids": [1] * length, "truth_ids": [2]} for length in (900, 200, 0, 100, 1200, 150, 300)]

    def lengths(prompts: int, max_positions: int = 2048) -> list[int]:
        settings = ParitySettings(prompts=prompts, max_prompt_tokens=224, whole_prompts=2)
        chosen = choose_prompts(Source(), None, settings, max_positions=max_positions)  # type: ignore[arg-type]
        return [len(prompt.prompt_ids) for prompt in chosen]

    assert lengths(5) == [100, 150, 200, 900, 1200]
    assert lengths(6) == [100, 150, 200, 300, 900, 1200], "the shortest of the longer ones where there are too few"
    for room in (1000, 900 + 24):  # of a continuation
        assert lengths(5, max_positions=room) == [100, 150, 200, 300, 900]
    assert lengths(5, max_positions=900 + 23) == [100, 150, 200, 300]
    with pytest.raises(ExportError, match="no prompt to compare"):
        lengths(5, max_positions=100)


def test_refuses_spoiled_parity_prompts(sub_model: Path, tmp_path: Path) -> None:
    for content in ("{", '[{"prompt_ids": [1]}]', '[{"prompt_ids": "abc", "truth_ids": []}]', "[3]"):
        (sub_model / "parity_prompts.json").write_text(content)
        with pytest.raises((ExportError, BuildError), match=r"parity_prompts\.json (can't be read|holds no prompts)"):
            export_bundle(sub_model, tmp_path / "bundle", FP32)


def test_the_tokenizer_of_a_foreign_bundle_knows_its_control_tokens(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_folder("llama-tied"), tmp_path / "model"))
    document = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    for token in document["added_tokens"]:
        token["special"] = False  # as Qwen's file has its fill-in-the-middle tokens
    (folder / "tokenizer.json").write_text(json.dumps(document))
    bundle = export_bundle(folder, tmp_path / "bundle", FP32)
    tokenizer = Tokenizer.from_file(str(bundle.tokenizer_path))
    assert tokenizer.decode([65, 257, 66], skip_special_tokens=True) == tokenizer.decode([65, 66])


def test_precisions_are_added_under_the_names_of_transformers_js(sub_model: Path, tmp_path: Path) -> None:
    first = export_bundle(sub_model, tmp_path / "bundle", INT8, drafts=[[5, 6, 7, 8, 9]])
    model = first.model_path.read_bytes()
    bundle = add_precision(sub_model, tmp_path / "bundle", ExportSettings(precision=Precision.FP16, parity=LOOSE))
    assert bundle.graphs == {"int8": bundle.model_path, "fp16": bundle.folder / "onnx" / "model_fp16.onnx"}
    assert bundle.manifest["variants"]["fp16"]["parity"]["greedy_agreement"] > 0.3
    assert bundle.model_path.read_bytes() == model
    assert bundle.manifest["drafts"] == first.manifest["drafts"]
    assert set(bundle.manifest["files"]) == {*first.manifest["files"], "onnx/model_fp16.onnx"}
    for_js = json.loads((bundle.folder / "config.json").read_text())["transformers.js_config"]
    assert for_js == {"kv_cache_dtype": {"fp16": "float16"}}, "versions before 4.2 take float32 else"
    again = add_precision(sub_model, tmp_path / "bundle", ExportSettings(precision=Precision.FP16, parity=LOOSE))
    assert again.manifest["files"] == bundle.manifest["files"]
    for precision in (Precision.FP32, Precision.INT8):
        with pytest.raises(ExportError, match="without --add"):
            add_precision(sub_model, tmp_path / "bundle", ExportSettings(precision=precision, parity=LOOSE))


def test_another_model_s_precision_is_not_added(
    sub_model: Path, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    old = export_bundle(sub_model, tmp_path / "bundle", FP32)
    config = json.loads((sub_model / "config.json").read_text())
    (sub_model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1024}))
    with pytest.raises(ExportError, match="another model"):
        add_precision(sub_model, tmp_path / "bundle", ExportSettings(precision=Precision.FP16, parity=LOOSE))
    assert read_bundle(tmp_path / "bundle") == old


def test_another_fine_tuning_s_precision_is_not_added(sub_model: Path, tmp_path: Path) -> None:
    old = export_bundle(sub_model, tmp_path / "bundle", FP32)
    manifest = json.loads((sub_model / "manifest.json").read_text())
    (sub_model / "manifest.json").write_text(json.dumps({**manifest, "finetuning": {"minutes": 2.0}}))
    with pytest.raises(ExportError, match="another model"):
        add_precision(sub_model, tmp_path / "bundle", ExportSettings(precision=Precision.FP16, parity=LOOSE))
    assert read_bundle(tmp_path / "bundle") == old


def test_what_falls_back_to_the_bundle_s_precision_is_not_added(
    sub_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = ExportSettings(precision=Precision.INT8_WEIGHTS, parity=LOOSE)
    old = export_bundle(sub_model, tmp_path / "bundle", weights)
    monkeypatch.setattr(writer_module, "CANDIDATES", {Precision.INT8: (Precision.INT8_WEIGHTS,)})
    with pytest.raises(ExportError, match="keeps int8-weights, which int8 falls back to"):
        add_precision(sub_model, tmp_path / "bundle", INT8)
    assert read_bundle(tmp_path / "bundle") == old


def test_another_program_s_manifest_is_none_of_ours(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder("llama-tied"), tmp_path / "model"))
    for text in ('{"schema": 7, "files": []}', "[]"):
        (folder / "manifest.json").write_text(text)
        assert read_artifact(folder).manifest is None
    (folder / "manifest.json").write_text('{"schema": 7, "prompt": {}}')
    with pytest.raises(BuildError, match="another version of submodel"):
        read_artifact(folder)


@pytest.mark.parametrize(
    "odd", [{"learned_sha256": 3}, {"held_out_sha256": [["a"]]}, {"learned_sha256": ["a"]}, {"parameters": "many"}]
)
def test_a_manifest_whose_values_are_odd_is_refused(
    model_folder: Callable[[str], Path], tmp_path: Path, odd: dict[str, object]
) -> None:
    folder = Path(shutil.copytree(model_folder("llama-tied"), tmp_path / "model"))
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "prompt": {}, **odd}))
    with pytest.raises(BuildError, match="has bad values"):
        read_artifact(folder)

"""Finished stages are not repeated; interrupted and changed ones are."""

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from builder.corpus.corpus import read_corpus
from builder.finetuning import finetune
from builder.finetuning.training_state import StateFile, TrainingProgress
from contract.errors import BaseModelError
from submodel.build import model_stages, pipeline, score_stages
from submodel.build.build_settings import BuildSettings
from submodel.build.model_stages import ModelStages
from submodel.build.paths import BuildPaths
from submodel.build.pipeline import run_build
from submodel.build.stages import Stages, hash_of, kept_record
from submodel.console import StageDisplay
from testbed.models import save_base
from testbed.python_files import write_python

NONE = cast(Any, None)  # of a corpus and a base that nothing looks at


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self, advance):
        self.calls += 1
        advance(1, 1)
        return {"call": self.calls}


def make_repository(tmp_path, functions=30):
    return write_python(tmp_path / "repository", range(24), functions=functions)


def whole_base(tmp_path, *, minutes, positions):
    """The settings of a build that prunes nothing."""
    return BuildSettings(
        repository=make_repository(tmp_path),
        output=tmp_path / "output",
        base=str(save_base(tmp_path / "base", kind="qwen2")),
        size=1.0,
        minutes=minutes,
        quantize="fp32",
        positions=positions,
    )


def run(folder, key, make, outputs=(), *, force=False):
    with StageDisplay() as display:
        return Stages(folder, display, force=force).run("stage", key, make, outputs)


def test_a_finished_stage_is_kept_until_its_key_changes(tmp_path):
    make = Counter()
    first = run(tmp_path, "a", make)
    kept = run(tmp_path, "a", make)
    assert (first.is_fresh, kept.is_fresh, make.calls) == (True, False, 1)
    assert kept.result == {"call": 1}
    assert run(tmp_path, "b", make).result == {"call": 2}


def test_force_and_missing_outputs_repeat_it(tmp_path):
    counter = Counter()
    output = tmp_path / "model"

    def make(advance):
        output.mkdir(exist_ok=True)
        return counter(advance)

    run(tmp_path, "a", make, [output])
    assert run(tmp_path, "a", make, [output], force=True).is_fresh
    output.rmdir()
    assert run(tmp_path, "a", make, [output]).is_fresh
    assert counter.calls == 3
    assert not run(tmp_path, "a", make, [output]).is_fresh


@pytest.mark.parametrize("stops_in", ["prune", "finetune"])
def test_a_forced_build_that_was_stopped_resumes_without_force(tmp_path, stops_in):
    pruned, model = (tmp_path / name for name in ("pruned", "model"))

    def build(content, *, force=False, stops_in=""):
        def make(name, output, advance):
            if name == stops_in:
                raise KeyboardInterrupt
            output.write_text(content)

        with StageDisplay() as display:
            stages = Stages(tmp_path / "stages", display, force=force)
            for name, output in (("prune", pruned), ("finetune", model)):
                stages.run(name, "a", partial(make, name, output), [output])

    build("older")
    with pytest.raises(KeyboardInterrupt):
        build("forced", force=True, stops_in=stops_in)
    assert model.read_text() == "older", "it stays until there is another one"
    build("resumed")
    assert (pruned.read_text(), model.read_text()) == ("forced" if stops_in == "finetune" else "resumed", "resumed")
    build("unneeded")
    assert model.read_text() == "resumed"


def test_what_file_managers_leave_in_a_folder_changes_nothing(tmp_path):
    output = tmp_path / "model"
    output.mkdir()
    (output / "weights").write_text("a")
    run(tmp_path, "a", Counter(), [output])
    for name in (".DS_Store", "._weights", "Thumbs.db", "desktop.ini", ".nfs000123"):
        (output / name).write_text("stray")
    assert not run(tmp_path, "a", Counter(), [output]).is_fresh
    (output / "more").write_text("b")
    assert run(tmp_path, "a", Counter(), [output]).is_fresh


def test_an_output_that_a_command_of_ours_adds_to_stays_the_stage_s(tmp_path):
    output = tmp_path / "bundle"
    output.mkdir()
    run(tmp_path, "a", Counter(), [output])
    for name in ("one", "another"):
        with kept_record("stage", output, tmp_path):
            (output / name).write_text("added")
    assert not run(tmp_path, "a", Counter(), [output]).is_fresh
    (output / "one").write_text("changed by somebody")
    with kept_record("stage", output, tmp_path):
        (output / "more").write_text("added")
    assert run(tmp_path, "a", Counter(), [output]).is_fresh
    with kept_record("none", output, tmp_path):
        pass
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize("changes", [False, True])
def test_an_interrupted_stage_counts_as_not_run_and_what_an_earlier_one_made_holds_while_it_is_there(tmp_path, changes):
    output = tmp_path / "output"
    output.mkdir()
    (output / "model").write_text("a")
    run(tmp_path, "a", Counter(), [output])

    def fail(advance):
        if changes:
            (output / "model").write_text("half of b")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "b", fail, [output])
    assert run(tmp_path, "a", Counter(), [output]).is_fresh is changes
    assert run(tmp_path, "b", Counter(), [output]).is_fresh


def test_keys_tell_inputs_apart_whatever_their_order():
    assert hash_of(a=1, b=2) == hash_of(b=2, a=1)
    assert hash_of(a=1) != hash_of(a=2)
    assert hash_of(a=torch.float32) != hash_of(a=torch.bfloat16), "what JSON has no form for"


def test_a_model_and_its_bundle_are_made_again_if_anything_that_they_depend_on_changes(tmp_path, monkeypatch):
    paths = BuildPaths(root=tmp_path)
    paths.model.mkdir()
    (paths.model / "manifest.json").write_text("made")
    asked = BuildSettings(repository=tmp_path, output=tmp_path, base="b", size=0.8, minutes=1, dtype="float32")

    def hashes(settings=asked, *, corpus="c", base="b"):
        """Those of the pruned model, the fine-tuned one and the bundle, each by itself."""
        known: Any = SimpleNamespace(fingerprint=corpus), SimpleNamespace(identity={"name": base})
        ran: dict[str, str] = {}

        def run(name, stage_hash, *_):
            ran[name] = stage_hash
            return SimpleNamespace(is_fresh=False)

        with StageDisplay() as display:
            stages = ModelStages(settings, display, *known)
        stages._stages = cast(Any, SimpleNamespace(run=run))
        _, _, tuned = stages._make_model()
        return ran["prune"], tuned, stages._bundle_hash("m"), stages._bundle_hash(tuned)

    def changed(**others):
        return [one != other for one, other in zip(hashes(), hashes(**others), strict=True)]

    assert changed() == [False, False, False, False]
    settings: list[dict[str, Any]] = [{"settings": replace(asked, size=0.7)}, {"settings": replace(asked, seed=1)}]
    for others in ({"corpus": "d"}, {"base": "d"}, *settings):
        assert changed(**others) == [True, True, False, True], others
    for longer in (replace(asked, minutes=2), replace(asked, steps=3)):
        assert changed(settings=longer) == [False, True, False, True], longer
    assert changed(settings=replace(asked, quantize="fp32")) == [False, False, True, True]
    before = hashes()
    monkeypatch.setattr(model_stages, "PIPELINE_VERSION", "another")
    pruned = hashes()
    assert [one != other for one, other in zip(before, pruned, strict=True)] == [True, True, False, True]
    monkeypatch.setattr(model_stages, "EXPORT_VERSION", "another")
    exported = hashes()
    assert [one != other for one, other in zip(pruned, exported, strict=True)] == [False, False, True, True]
    (paths.model / "manifest.json").write_text("made again")
    assert [one != other for one, other in zip(exported, hashes(), strict=True)] == [False, False, True, True]


def test_scores_are_of_one_model_its_graph_and_the_lines_that_were_asked(tmp_path, monkeypatch):
    graphs = iter(("onnx/model.onnx", "onnx/model_fp16.onnx"))
    asked: list[str] = []
    monkeypatch.setattr(score_stages, "graph_of", lambda bundle: next(graphs))
    stages: Any = SimpleNamespace(run=lambda name, stage_hash, make: asked.append(stage_hash))
    lines: Any = [SimpleNamespace(fingerprint=one) for one in ("a", "b")]
    scores, unread = score_stages.ScoreStages(stages), cast(Any, None)
    for _ in range(2):
        scores.score_bundle("score", "m", tmp_path, lines[0])
    for model in ("m", "n"):
        for one in lines:
            scores.score("score", model, unread, one)
    monkeypatch.setattr(score_stages, "SCORING_VERSION", "another")
    scores.score("score", "m", unread, lines[0])
    assert len(set(asked)) == 7


@pytest.mark.slow
def test_the_base_is_scored_again_only_if_files_that_it_is_asked_about_change(tmp_path, monkeypatch):
    repository = make_repository(tmp_path, functions=40)
    base = save_base(tmp_path / "base", kind="qwen2")

    # Nothing but the base's scores, which come last in a build.
    monkeypatch.setattr(pipeline.Build, "run", lambda self, held_out, started: self._score_base(held_out))

    def is_scored():
        settings = BuildSettings(repository=repository, output=tmp_path / "out", base=str(base), positions=4)
        with StageDisplay() as display:
            record: Any = run_build(settings, display)
            return record.is_fresh

    def held_out():
        return {file.text for file in read_corpus(repository).files if file.split == "held-out"}

    def change(split):
        """Change a file of the split; which one it is in afterwards is a matter of its hash."""
        before = held_out()
        file = next(file for file in read_corpus(repository).files if file.split == split)
        for number in range(50):
            (repository / file.path).write_text(f"{file.text}\nADDED = {number}\n")
            if (held_out() == before) == (split == "calibration"):
                return
        pytest.fail("No change of the file does.")

    assert is_scored()
    assert not is_scored()
    change("calibration")
    assert not is_scored()
    change("held-out")
    assert is_scored()


@pytest.mark.slow
def test_a_build_that_is_stopped_while_it_scores_leaves_the_report_of_its_own_bundle(tmp_path, monkeypatch):
    settings = whole_base(tmp_path, minutes=0, positions=4)
    paths = BuildPaths(root=settings.output)

    def reported():
        return json.loads(paths.figures.read_text()), paths.report.read_text()

    def stop(*_):
        raise KeyboardInterrupt

    with StageDisplay() as display:
        run_build(settings, display)
        scored = reported()
        monkeypatch.setattr(pipeline.Build, "_score_base", stop)
        with pytest.raises(KeyboardInterrupt):
            run_build(settings, display)
        assert reported() == scored, "which is of the same bundle"
        with pytest.raises(KeyboardInterrupt):
            run_build(replace(settings, size=0.8), display)
    document, page = reported()
    assert document["plan"]["share_of_base"] <= 0.8 < scored[0]["plan"]["share_of_base"]
    assert document["stages"][-1]["name"] == "export"
    assert "against_base" not in document
    assert page != scored[1]


def test_a_killed_fine_tuning_goes_on_in_the_number_format_that_it_had(tmp_path, monkeypatch):
    monkeypatch.setattr(model_stages, "fastest_dtype", lambda: torch.float32)
    monkeypatch.setattr(model_stages, "is_int8_faster", lambda dtype: False)
    monkeypatch.setattr(finetune, "training_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(model_stages, "multiplies_rightly", lambda: True)
    state = StateFile(path=tmp_path / "state", stage_hash="k")
    settings = BuildSettings(repository=tmp_path, output=tmp_path, base="b", size=1.0, minutes=1)
    with StageDisplay() as display:
        stages, asked = (
            ModelStages(replace(settings, dtype=dtype), display, NONE, NONE) for dtype in (None, "float32")
        )
        assert stages._format_of(state) == (torch.float32, False), "measured"
        state.save(TrainingProgress(dtype="bfloat16", is_int8=True), {"w": torch.ones(2)}, {}, {})
        assert stages._format_of(state) == (torch.bfloat16, True)
        assert asked._format_of(state) == (torch.float32, False)
        monkeypatch.setattr(model_stages, "multiplies_rightly", lambda: False)
        assert stages._format_of(state) == (torch.float32, False), "on another processor it starts from the beginning"
        state.save(TrainingProgress(dtype="bfloat16"), {"w": torch.ones(2)}, {}, {})
        assert stages._format_of(state) == (torch.bfloat16, False)
        state.save(TrainingProgress(device="cuda", dtype="bfloat16"), {"w": torch.ones(2)}, {}, {})
        assert stages._format_of(state) == (torch.float32, False), "the CPU starts again, in its own format"


@pytest.mark.parametrize(
    ("device", "supported", "asked", "expected"),
    [
        ("cuda", True, None, torch.bfloat16),
        ("cuda", True, "float32", torch.float32),
        ("cuda", False, None, torch.float32),
        ("cpu", True, None, torch.float32),
    ],
)
def test_a_gpu_that_computes_in_bfloat16_trains_in_it(tmp_path, monkeypatch, device, supported, asked, expected):
    monkeypatch.setattr(model_stages, "fastest_dtype", lambda: torch.float32)
    monkeypatch.setattr(model_stages, "is_int8_faster", lambda dtype: False)
    monkeypatch.setattr(finetune, "training_device", lambda: torch.device(device))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    settings = BuildSettings(repository=tmp_path, output=tmp_path, base="b", size=1.0, minutes=1, dtype=asked)
    with StageDisplay() as display:
        stages = ModelStages(settings, display, NONE, NONE)
        assert stages._format_of(StateFile(path=tmp_path / "state", stage_hash="k"))[0] == expected


def test_a_base_that_can_not_be_exported_is_refused_before_anything_is_pruned(tmp_path):
    repository, base = make_repository(tmp_path), save_base(tmp_path / "base", kind="qwen2")
    config = json.loads((base / "config.json").read_text())
    scaling = {"rope_type": "llama3", "factor": 8.0}
    (base / "config.json").write_text(json.dumps(config | {"rope_scaling": scaling}))
    settings = BuildSettings(repository=repository, output=tmp_path / "output", base=str(base))
    with StageDisplay() as display, pytest.raises(BaseModelError, match=r"^base has scaled rotary positions"):
        run_build(settings, display)
    assert list(BuildPaths(root=settings.output).stages.glob("*")) == []

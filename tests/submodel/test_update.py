"""Updates of a small build in a real git repository: what they learn, what they hold out, what a kill leaves."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from builder.artifact import read_artifact
from builder.corpus.changes import Renames
from builder.corpus.corpus import Corpus, SourceFile, read_corpus
from builder.fim_examples import FimExample, draw_fim_examples
from builder.finetuning import training_data
from builder.finetuning.training_data import Material
from builder.finetuning.training_run import TrainingRun
from builder.learning_examples import make_examples
from contract.bundle.bundle import is_bundle_of, read_bundle
from contract.bundle.manifest import build_of, write_manifest_of
from contract.bundle.previous import MOST_KEPT, previous_bundles
from contract.bundle.trusted_builds import UntrustedError, check_trusted, trust_build
from contract.console import StageDisplay
from contract.errors import BuildError, NotNowError, ParityError
from contract.files.folders import replace_folder
from contract.files.seals import seal_key, sealed_json
from contract.files.whole_files import PRIVATE, write_text
from exporters.export_settings import SHORT_PARITY
from exporters.parity import ParitySettings
from exporters.precision import Precision
from lsp_server.drift import measure_drift, read_current_hashes
from submodel.app import app
from submodel.build import model_stages, new_lines, pipeline, update_plan, update_run, update_start
from submodel.build.build_settings import BuildSettings
from submodel.build.history import FILE, NEXT, PURPOSE, read_history, remember_build, write_history
from submodel.build.new_lines import NewLines
from submodel.build.pipeline import run_build
from submodel.build.stages import Stages, hash_of_output
from submodel.build.update_plan import plan_update
from submodel.build.update_run import UNREAD, UpdateSettings, run_update
from submodel.build.update_scores import UpdateScorer
from submodel.commands.update import _outcome
from testbed.git import git
from testbed.models import save_base
from testbed.python_files import python_text
from tests.submodel.training_runs import always_better, plan_one_pass

pytestmark = pytest.mark.slow  # whole builds

MINUTES = 0.02  # above zero: how many steps are taken, `one_pass` says


def code(number: int, functions: int = 60) -> str:
    rng = random.Random(number)
    return python_text(f"compute_{number}", functions, lambda i: rng.randrange(9999))


def write(root: Path, numbers: range, prefix: str = "part") -> None:
    for number in numbers:
        (root / f"{prefix}_{number}.py").write_text(code(number))


def _base(folder: Path) -> Path:
    """Its tokens are so short that an excerpt takes more positions than a model of the tests has."""
    config = save_base(folder, kind="qwen2") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 2048}))
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A repository with a build of its first commit; the state folder is beside it."""
    room = tmp_path_factory.mktemp("update")
    root = room / "repository"
    root.mkdir()
    git(root, "init")
    write(root, range(24))
    git(root, "add", "--all")
    git(root, "commit", "-m", "first")
    _base(room / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBMODEL_STATE_DIR", str(room / "state"))
        document = build(root)
    assert [version["kind"] for version in document["history"]] == ["build"]
    return room


def build(root: Path, size: float = 0.8, force: bool = False, minutes: float = MINUTES):
    settings = BuildSettings(
        repository=root,
        output=root / ".submodel",
        base=str(root.parent / "base"),
        size=size,
        minutes=minutes,
        quantize="fp32",
        positions=4,
        force=force,
    )
    with StageDisplay() as display:
        return run_build(settings, display)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Other tests and people share the machine: two threads that wait for each other take ten times as long then."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def one_pass() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        plan_one_pass(patch)
        yield


@pytest.fixture
def repository(built, tmp_path, monkeypatch) -> Path:
    """A copy of it."""
    shutil.copytree(built, tmp_path / "room", symlinks=True)
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "room" / "state"))
    return tmp_path / "room" / "repository"


def follow(root: Path, minutes: float = MINUTES, positions: int = 4):
    settings = UpdateSettings(repository=root, output=root / ".submodel", minutes=minutes, positions=positions)
    with StageDisplay() as display:
        return run_update(settings, display)


def lose_git(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The build is taken for one without git: else no update would begin."""
    shutil.rmtree(root / ".git")
    monkeypatch.setattr(update_run, "check_listed_as_before", lambda *_: None)


def begin(settings: UpdateSettings, display: StageDisplay) -> update_run._Update:
    """The update as it is before its first stage."""
    history = read_history(settings.output / "stages")
    assert history is not None
    found = read_corpus(settings.repository)
    made = read_artifact(settings.output / "model").manifest or {}
    plan = plan_update(made, display, found, history, {}, lambda *_: None)
    return update_run._Update(settings, display, history, plan)


def change(root: Path) -> None:
    """Ten new files, a rename, and a line in each of three old files."""
    write(root, range(100, 110), "new")
    git(root, "mv", "part_3.py", "moved.py")
    for number in range(3):
        path = root / f"part_{number}.py"
        path.write_text(path.read_text() + f"\nADDED_{number} = {number} + 1000\n")
    git(root, "add", "--all")
    git(root, "commit", "-m", "change")


def lose(root: Path, split: str) -> None:
    """Delete all files of a split, and change one that was learned from."""
    places = splits(root)
    for path, place in places.items():
        if place == split:
            (root / path).unlink()
    changed = root / next(path for path, place in places.items() if place == "calibration")
    changed.write_text(changed.read_text() + "\nADDED = 1\n")
    git(root, "commit", "--all", "-m", "lose")


def splits(root: Path) -> dict[str, str]:
    history = read_history(root / ".submodel" / "stages")
    assert history is not None
    return {path: place for path, place in history.known.paths.items() if (root / path).exists()}


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed on stderr since the last call, without its line ends."""
    return " ".join(capsys.readouterr().err.split())


def drifted(root: Path) -> int:
    """How many files have changed or are new, as the server counts them."""
    drift = measure_drift(read_current_hashes(root), read_bundle(root / ".submodel" / "bundle").manifest)
    assert drift is not None
    return drift.changed + drift.added


def test_an_update_learns_and_swaps_model_and_bundle(repository, monkeypatch):
    output = repository / ".submodel"
    before, build = splits(repository), build_of(output / "bundle")
    model = (output / "model" / "model.safetensors").read_bytes()
    change(repository)
    always_better(monkeypatch)
    document = follow(repository)
    assert document["kept"] == "new"
    assert document["from_commit"] != document["to_commit"]
    assert document["files"]["to_learn"] >= 3
    assert document["models"][0]["name"] == "sub-model"
    assert document["since"]["positions"] == document["models"][0]["positions"] == 4
    bits = [row["bits_per_byte"] for row in (document["models"][0], document["held_out_before"])]
    assert bits[0] != bits[1]
    assert document["against_before"]["bits_per_byte_ratio"]["value"] == pytest.approx(bits[0] / bits[1])
    assert (output / "model" / "model.safetensors").read_bytes() != model
    assert hash_of_output("finetune", output / "model", output / "stages")
    bundle = read_bundle(output / "bundle")
    check_trusted(bundle.folder, bundle.build)
    assert bundle.build != build
    assert bundle.manifest["learned_sha256"] == read_artifact(output / "model").manifest["learned_sha256"]
    assert [build_of(old) for old in (output / "previous").iterdir()] == [build]
    assert not (output / "next").exists()
    after = splits(repository)
    assert after["moved.py"] == before["part_3.py"]
    assert {path: after[path] for path in after if path in before} == {
        path: place for path, place in before.items() if path != "part_3.py"
    }
    assert "new_100.py" in after
    versions = document["history"]
    assert [(one["kind"], one["kept"]) for one in versions] == [("build", "new"), ("update", "new")]
    assert versions[1]["held_out"]["positions"] == versions[1]["since"]["positions"] == 4
    page = (output / "report.html").read_text()
    assert "Versions" in page and versions[1]["commit"][:10] in page


def add_graph(output: Path) -> None:
    words = ["export", output / "model", "-o", output / "bundle", "--quantize", "fp16", "--add"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output + repr(done.exception)


def test_what_a_kill_on_windows_left_beside_its_name_is_put_back_and_added_graphs_stay(repository, monkeypatch):
    output = repository / ".submodel"
    add_graph(output)
    before = read_bundle(output / "bundle").manifest["variants"]["fp16"]
    for name in ("bundle", "model"):  # killed between two renames
        (output / name).rename(output / f".{name}.replaced")
    change(repository)
    always_better(monkeypatch)
    assert follow(repository)["kept"] == "new"
    bundle = read_bundle(output / "bundle")
    assert bundle.graphs["fp16"] == output / "bundle" / "onnx" / "model_fp16.onnx"
    after = bundle.manifest["variants"]["fp16"]
    assert after["parity"] != before["parity"], "it is of the new model"
    assert (before["parity"]["prompts"], after["parity"]["prompts"]) == (ParitySettings().prompts, SHORT_PARITY.prompts)


def test_a_build_after_a_graph_was_added_exports_nothing_and_another_model_gets_the_graph_too(repository):
    output = repository / ".submodel"
    add_graph(output)
    stages = {row["name"]: row["is_fresh"] for row in build(repository)["stages"]}
    assert stages["export"] is False
    build(repository, size=0.9)
    bundle = read_bundle(output / "bundle")
    assert (set(bundle.graphs), bundle.manifest["variants"]["fp16"]["quantization"]) == ({"fp32", "fp16"}, "fp16")


def test_lines_that_were_learned_before_they_were_committed_are_not_new(repository, monkeypatch):
    """A build reads the folder as it is; its commit does not have what was not committed then."""
    always_better(monkeypatch)
    path = repository / next(path for path, place in splits(repository).items() if place == "calibration")
    path.write_text(path.read_text() + "\nLEARNED_UNCOMMITTED = 1\n")
    follow(repository, positions=0)
    path.write_text(path.read_text() + "\nWRITTEN_SINCE = 2\n")
    git(repository, "commit", "--all", "-m", "both")
    assert "since" not in follow(repository)


def test_lines_that_were_written_since_are_learned_first(repository, monkeypatch):
    always_better(monkeypatch)
    known = splits(repository)
    path = repository / next(path for path, place in known.items() if place == "calibration")
    path.write_text(path.read_text() + "\nWRITTEN_AND_COMMITTED = 1\n")
    git(repository, "commit", "--all", "-m", "one line")
    path.write_text(path.read_text() + "\nWRITTEN_SINCE = 2\n")
    write(repository, range(100, 110), "new")
    new = defaultdict(set)

    def make_all(files, *arguments, is_new=None, **options):
        for example in draw_fim_examples(files, 10_000, seed=0) if is_new else ():
            new[example.file.path, is_new(example.file, example.line)].add(example.line)
        return make_examples(files, *arguments, is_new=is_new, **options)

    monkeypatch.setattr(training_data, "make_examples", make_all)
    follow(repository, positions=0)
    assert new[path.name, True] == {"WRITTEN_AND_COMMITTED = 1", "WRITTEN_SINCE = 2"}
    assert len(new[path.name, False]) > 100
    assert {where[1] for where in new if where[0].startswith("new_")} == {True}


def test_an_update_goes_on_where_no_held_out_file_is_left(repository, monkeypatch, capsys):
    always_better(monkeypatch)
    lose(repository, "held-out")
    document = follow(repository)
    assert "No held-out file is left" in said(capsys)
    assert "held_out_before" not in document
    assert "positions" not in document["models"][0]


def test_without_validation_files_it_asks_for_a_build(repository):
    lose(repository, "validation")
    with pytest.raises(BuildError, match="validated on"):
        follow(repository, positions=0)
    stages = follow(repository, minutes=0, positions=0)["stages"]
    assert [stage["name"] for stage in stages] == ["renew the drafts"], "which need none"


def test_what_was_learned_is_not_learned_again(repository, monkeypatch):
    change(repository)
    always_better(monkeypatch)
    follow(repository, positions=0)
    build = build_of(repository / ".submodel" / "bundle")
    document = follow(repository)
    assert (document["kept"], document["stages"]) == ("old", []), "nor scored: the update before was to leave it out"
    assert build_of(repository / ".submodel" / "bundle") == build
    assert len(document["history"]) == 2


def test_files_that_an_update_did_not_reach_are_learned_by_the_next(repository, monkeypatch, capsys):
    always_better(monkeypatch)
    change(repository)
    for number in range(8):  # no line to learn from
        licence = "\n".join(
            f"# {number}: this line of a licence is a comment, and so are all others." for _ in range(9)
        )
        (repository / f"licence_{number}.py").write_text(licence + "\n")
    with monkeypatch.context() as patch:
        patch.setattr(Material, "paths_before", lambda self, step: frozenset())
        document = follow(repository, positions=0)
    assert re.search(r"were not \w+ in \S+ minutes", said(capsys))
    assert document["kept"] == "new" and UNREAD not in document["finetuning"]
    known = splits(repository)
    assert {place for path, place in known.items() if path.startswith("new_")} <= {"held-out", "validation"}
    assert sum(path.startswith("licence_") for path in known) == 8
    unread = document["files"]["to_learn"]
    assert unread > 3 and drifted(repository) == unread
    again = follow(repository, positions=0)
    assert (again["kept"], again["files"]["to_learn"]) == ("new", unread)
    assert again["from_commit"] == document["from_commit"], "what is new in them is new beside that one"
    assert sum(path.startswith("new_") for path in splits(repository)) == 10
    assert drifted(repository) == 0
    assert not re.search(r"were not \w+ in \S+ minutes", said(capsys))
    assert follow(repository, positions=0)["stages"] == []


def test_files_without_a_new_line_train_nothing_and_do_not_hold_the_commit(repository, monkeypatch):
    always_better(monkeypatch)
    learned = [path for path, place in splits(repository).items() if place == "calibration"]
    for path in learned[:2]:
        text = (repository / path).read_text()
        (repository / path).write_text(text[text.index("\n\n") + 2 :])  # without its first function
    git(repository, "commit", "--all", "-m", "remove")
    assert drifted(repository) == 2
    document = follow(repository, positions=0)
    assert [stage["name"] for stage in document["stages"]] == ["renew the drafts"]
    assert drifted(repository) == 0
    write(repository, range(100, 110), "new")
    git(repository, "add", "--all")
    git(repository, "commit", "-m", "add")
    document = follow(repository, positions=0)
    history = read_history(repository / ".submodel" / "stages")
    assert history is not None
    assert document["to_commit"] == history.commit
    assert drifted(repository) == 0


def test_a_model_that_is_not_better_is_dropped_but_the_drafts_are_renewed(repository, monkeypatch):
    output = repository / ".submodel"
    model, graph = output / "model" / "model.safetensors", output / "bundle" / "onnx" / "model.onnx"
    before = model.read_bytes(), graph.read_bytes()
    drafts = read_bundle(output / "bundle").manifest["drafts"]["tokens"]
    change(repository)
    always_better(monkeypatch, is_better=False)
    document = follow(repository)
    assert document["kept"] == "old"
    assert (model.read_bytes(), graph.read_bytes()) == before
    figures = (document["models"][0], document["held_out_before"], document["history"][-1]["held_out"])
    assert len({one["bits_per_byte"] for one in figures}) == 1, "they are those of the model that is served"
    assert "against_before" not in document
    manifest = read_bundle(output / "bundle").manifest
    assert manifest["drafts"]["tokens"] > drafts
    assert drifted(repository) == 0, "another update would do no more"
    assert not (output / "next").exists()
    again = follow(repository)
    assert again["stages"] == [], "tried already"
    always_better(monkeypatch)
    write(repository, range(110, 112), "new")
    final = follow(repository)
    assert final["kept"] == "new"
    assert final["files"]["to_learn"] >= document["files"]["to_learn"]


def test_files_that_a_refused_update_did_not_reach_are_tried_by_the_next(repository, monkeypatch):
    always_better(monkeypatch, is_better=False)
    change(repository)
    begun: list[set[str]] = []  # the files that each update begins with
    old: set[str] = set()  # those that are mixed in

    def make_all(files, *arguments, is_new=None, covers=False, **options):
        if covers and (len(begun) == 0 or begun[-1] != {file.path for file in files}):
            begun.append({file.path for file in files})
        if not covers:
            old.update(file.path for file in files)
        return make_examples(files, *arguments, is_new=is_new, covers=covers, **options)

    monkeypatch.setattr(training_data, "make_examples", make_all)
    with monkeypatch.context() as patch:
        patch.setattr(Material, "paths_before", lambda self, step: frozenset(sorted(begun[-1])[:4] if step else ()))
        document = follow(repository, positions=0)
    to_learn = document["files"]["to_learn"]
    assert (document["kept"], len(begun[0]), to_learn > 4) == ("old", to_learn, True)
    assert document["files"]["untried"] == drifted(repository) == to_learn - 4
    assert "the files that it did not reach" in _outcome(document)
    assert follow(repository, minutes=0, positions=0)["kept"] == "old", "which reads none of them"
    again = follow(repository, positions=0)
    assert (again["kept"], again["files"]["to_learn"], "untried" in again["files"]) == ("old", to_learn, False)
    assert begun[1] == begun[0] - set(sorted(begun[0])[:4])
    assert old.isdisjoint(begun[0]), "what counts as not learned is not mixed in"
    seeds = [one["finetuning"]["settings"]["seed"] for one in (document, again)]
    assert seeds[0] != seeds[1], "it draws other lines, to learn and to validate on"
    assert drifted(repository) == 0
    assert [one["kept"] for one in again["history"]] == ["new", "old", "old", "old"]
    assert follow(repository, positions=0)["stages"] == [], "all were tried"
    write(repository, range(110, 120), "new")
    follow(repository, positions=0)
    assert begun[0] < begun[2], "with others they may be learned after all"


def test_refused_updates_leave_what_the_user_can_go_back_to_and_what_was_held_out(repository, monkeypatch):
    output = repository / ".submodel"
    change(repository)
    with monkeypatch.context() as patch:
        always_better(patch)
        assert follow(repository, positions=0)["kept"] == "new"
    kept = previous_bundles(output / "bundle")
    assert len(kept) == 1
    always_better(monkeypatch, is_better=False)
    for number in range(200, 200 + MOST_KEPT + 1):
        write(repository, range(number * 10, number * 10 + 10), "later")
        assert follow(repository, positions=0)["kept"] == "old"
        later = [path for path, place in splits(repository).items() if path.startswith("later_")]
        assert later and {splits(repository)[path] for path in later} == {"held-out"}
        path = repository / later[0]
        path.write_text(code(number * 1000))
    assert previous_bundles(output / "bundle") == kept
    follow(repository, positions=0)
    assert {splits(repository)[path] for path in later} == {"held-out"}


def test_what_a_refused_update_held_out_stays_so_under_another_name_and_with_other_lines(repository, monkeypatch):
    always_better(monkeypatch, is_better=False)
    write(repository, range(400, 420), "later")
    git(repository, "add", "--all")
    git(repository, "commit", "-m", "later")
    assert follow(repository, positions=0)["kept"] == "old"
    held_out = [path for path, place in splits(repository).items() if path.startswith("later_")]
    assert len(held_out) > 1
    for number, path in enumerate(held_out):
        lines = (repository / path).read_text().split("\n")
        (repository / path).write_text("\n".join(lines[: len(lines) * 6 // 10]) + code(900 + number, 20))
        git(repository, "mv", path, f"other_{number}.py")
    git(repository, "commit", "--all", "-m", "other names")
    follow(repository, positions=0)
    places = {path: place for path, place in splits(repository).items() if path.startswith("other_")}
    assert places == dict.fromkeys((f"other_{number}.py" for number in range(len(held_out))), "held-out")


def test_what_only_drifted_is_noted_so_that_nobody_is_asked_again(repository, monkeypatch):
    """Documentation has changed, say. Nothing is to be learned, and the server's offer ends."""

    always_better(monkeypatch)
    for number in range(2):
        (repository / f"notes_{number}.md").write_text(f"# Notes\n\nThese are notes, number {number}.\n")
        assert drifted(repository) == 1
        document = follow(repository, positions=0)
        assert [stage["name"] for stage in document["stages"]] == ["renew the drafts"]
        assert drifted(repository) == 0
    assert follow(repository, positions=0)["stages"] == []


def test_a_refused_update_is_not_tried_again_for_a_sentence_of_documentation(repository, monkeypatch):
    change(repository)
    always_better(monkeypatch, is_better=False)
    assert "update" in [stage["name"] for stage in follow(repository, positions=0)["stages"]]
    (repository / "README.md").write_text("# A sentence\n\nThis is a sentence of documentation.\n")
    assert [stage["name"] for stage in follow(repository, positions=0)["stages"]] == ["renew the drafts"]


def test_a_build_that_was_stopped_before_its_model_does_not_end_the_updates(repository, monkeypatch):
    change(repository)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(TrainingRun, "_step", _raise)
        build(repository, size=0.9)
    always_better(monkeypatch)
    assert follow(repository, positions=0)["kept"] == "new"


def test_a_build_that_was_stopped_while_it_was_measured_can_be_updated(repository, monkeypatch):
    change(repository)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(pipeline, "score_baselines", _raise)
        build(repository, size=0.9)
    history = read_history(repository / ".submodel" / "stages")
    assert history is not None
    assert [(one["kind"], "held_out" in one) for one in history.versions] == [("build", True), ("build", False)]
    document = build(repository, size=0.9)
    assert [(one["kind"], "held_out" in one) for one in document["history"]] == [("build", True), ("build", True)]
    write(repository, range(300, 310), "since")
    always_better(monkeypatch)
    assert follow(repository, positions=0)["kept"] == "new"


def test_a_bundle_that_fails_its_parity_check_does_not_take_the_old_one_s_place(repository, monkeypatch, capsys):
    output = repository / ".submodel"
    model, graph = output / "model" / "model.safetensors", output / "bundle" / "onnx" / "model.onnx"
    before = model.read_bytes(), graph.read_bytes()
    change(repository)
    always_better(monkeypatch)
    failed = ParityError("The quantized graph's loss is +2 %")
    with monkeypatch.context() as patch:
        patch.setattr(model_stages, "export_bundle", lambda *_, **__: (_ for _ in ()).throw(failed))
        document = follow(repository)
    printed = said(capsys)
    assert "The old model stays. The quantized graph's loss is +2 %." in printed
    assert "--quantize" not in printed, "an option that an update lacks"
    assert (document["kept"], document["history"][-1]["kept"]) == ("old", "old")
    assert "parity check" in _outcome(document)
    assert (model.read_bytes(), graph.read_bytes()) == before
    assert not (output / "next").exists()
    assert follow(repository)["kept"] == "new", "the next one tries the same files again"


@pytest.mark.parametrize("report", [None, "[]", '{"schema": 1}'], ids=["gone", "broken", "of another version"])
def test_an_update_needs_no_report_of_its_build(repository, monkeypatch, capsys, report):
    path, page = (repository / ".submodel" / name for name in ("report.json", "report.html"))
    before = page.read_text()
    path.unlink() if report is None else path.write_text(report)
    change(repository)
    always_better(monkeypatch)
    assert follow(repository, positions=0)["kept"] == "new"
    assert "The report stays as it is: " in said(capsys)
    assert page.read_text() == before
    assert (path.read_text() if path.exists() else None) == report


def test_an_update_that_an_editor_began_does_not_take_the_last_memory(repository, monkeypatch, capsys):
    change(repository)
    always_better(monkeypatch)
    monkeypatch.setattr(update_run, "has_free_memory", lambda needed: needed < 1e9)
    monkeypatch.setattr(update_run, "LARGE_PARAMETERS", 10)
    monkeypatch.setattr(update_run, "BYTES_A_PARAMETER", 10**9)
    settings = UpdateSettings(repository=repository, output=repository / ".submodel", minutes=MINUTES, positions=0)
    with (
        StageDisplay() as display,
        pytest.raises(NotNowError, match=r"takes up to \d+.0 GB of memory, and less"),
    ):
        run_update(replace(settings, is_paced=True), display)
    with StageDisplay() as display:
        assert run_update(settings, display)["kept"] == "new", "somebody asked for it, and reads what is said"
    assert "less is free" in said(capsys)


def test_a_small_model_is_updated_with_little_memory(repository, monkeypatch):
    change(repository)
    always_better(monkeypatch)
    monkeypatch.setattr(update_run, "has_free_memory", lambda needed: False)
    settings = UpdateSettings(repository=repository, output=repository / ".submodel", minutes=MINUTES, positions=0)
    with StageDisplay() as display:
        assert run_update(replace(settings, is_paced=True), display)["kept"] == "new"


@pytest.mark.parametrize(
    ("asked", "served", "expected"),
    [
        ("int8", "int8-weights", "int8"),  # which it had fallen back to
        ("int8", "fp16", "fp16"),  # of an export since
        ("fp32", "fp32", "fp32"),
        (None, "int4", "int4"),
    ],
)
def test_an_update_exports_in_the_precision_that_its_build_was_asked_for(asked, served, expected):
    assert update_start.precision_of_update(asked, Precision(served)) is Precision(expected)


def test_a_graph_in_another_precision_than_the_served_one_passes_the_whole_check(repository, monkeypatch):
    history = read_history(repository / ".submodel" / "stages")
    assert history is not None
    assert history.quantize == "fp32"
    change(repository)
    always_better(monkeypatch)
    for precision, is_short in (("fp32", True), ("fp16", False)):
        settings = UpdateSettings(
            repository=repository, output=repository / ".submodel", quantize=precision, served=Precision.FP32
        )
        with StageDisplay() as display:
            update = begin(settings, display)
        assert (update._export_settings.parity != ParitySettings()) is is_short


def test_the_score_of_the_update_before_is_not_measured_again(repository, monkeypatch):
    always_better(monkeypatch)
    for number, fresh in ((100, [True, True]), (110, [False, True])):
        write(repository, range(number, number + 10), "new")
        stages = follow(repository)["stages"]
        assert [row["is_fresh"] for row in stages if row["name"] == "score the bundle"] == fresh


def test_a_changed_validation_file_alone_trains_nothing(repository):
    name = next(path for path, place in splits(repository).items() if place == "validation")
    (repository / name).write_text(
        (repository / name).read_text() + "\n\ndef of_validation(value):\n    return value\n"
    )
    document = follow(repository, positions=0)
    assert document["kept"] == "old"
    assert [stage["name"] for stage in document["stages"]] == ["renew the drafts"]
    assert "finetuning" not in document


def test_an_update_runs_where_the_system_does_not_tell_the_peak_memory(repository, monkeypatch):
    change(repository)
    always_better(monkeypatch)
    monkeypatch.setattr("submodel.build.model_stages.peak_rss_bytes", lambda: None)
    assert follow(repository, positions=0)["kept"] == "new"


def test_without_minutes_the_drafts_alone_are_renewed(repository):
    model = (repository / ".submodel" / "model" / "model.safetensors").read_bytes()
    change(repository)
    document = follow(repository, minutes=0, positions=0)
    assert document["kept"] == "old"
    assert [stage["name"] for stage in document["stages"]] == ["renew the drafts"]
    assert "seen_sha256" not in read_bundle(repository / ".submodel" / "bundle").manifest
    assert (repository / ".submodel" / "model" / "model.safetensors").read_bytes() == model


def test_it_follows_by_hashes_where_there_is_no_git(repository, monkeypatch, capsys):
    before = splits(repository)
    change(repository)
    lose_git(repository, monkeypatch)
    always_better(monkeypatch)
    document = follow(repository)
    assert "Git can't list the renames" in said(capsys)
    assert document["kept"] == "new"
    assert "to_commit" not in document
    now = read_history(repository / ".submodel" / "stages")
    assert now is not None
    assert now.commit == document["from_commit"], "what is new later is so beside the last commit that is known"
    assert splits(repository)["moved.py"] == before["part_3.py"]
    assert document["since"]["positions"] == 4


@pytest.mark.parametrize(
    ("renames", "sentence"),
    [
        (None, "Git can't list the renames since the last version's commit"),
        (Renames(paths={}, exact_only=True), "Git could compare no texts since the last version's commit"),
        (Renames(paths={}), None),
    ],
    ids=["none", "of equal texts", "all"],
)
def test_renames_that_git_can_not_tell_are_said(repository, monkeypatch, capsys, renames, sentence):
    """tests/builder/test_changes.py has when that is so."""
    monkeypatch.setattr(update_plan, "renames_since", lambda *_: renames)
    with StageDisplay() as display:
        begin(UpdateSettings(repository=repository, output=repository / ".submodel"), display)
    printed = said(capsys)
    assert ("count as new, held-out ones too" in printed) is (sentence is not None)
    assert (sentence or "") in printed


def test_after_a_version_of_no_commit_a_held_out_file_that_may_have_moved_is_said(repository, capsys):
    stages = repository / ".submodel" / "stages"
    history = read_history(stages)
    assert history is not None
    write_history(stages, replace(history, commit=None))
    held_out = repository / next(path for path, place in splits(repository).items() if place == "held-out")
    moved = repository / "moved.py"
    steps = (
        (lambda: None, False),
        (lambda: write(repository, range(500, 501), "new"), False),
        (lambda: held_out.rename(moved), True),
        (lambda: (repository / "new_500.py").unlink(), True),
        (lambda: moved.rename(held_out), False),
        (lambda: held_out.unlink(), False),
        (lambda: write(repository, range(500, 501), "new"), True),
        (lambda: write_history(stages, history), False),  # git knows
    )
    for step, is_said in steps:
        step()
        with StageDisplay() as display:
            begin(UpdateSettings(repository=repository, output=repository / ".submodel"), display)
        assert ("renamed files are not known" in said(capsys)) is is_said


class Killed(BaseException):
    pass


def _raise(*_: object, **__: object) -> None:
    raise Killed


KILLS = {
    "in training": lambda patch: patch.setattr(TrainingRun, "_step", _raise),
    "before the export": lambda patch: patch.setattr(model_stages, "export_bundle", _raise),
    "after the bundle took its place": lambda patch: patch.setattr(update_start, "adopt_model", _raise),
    "after the model took its place": lambda patch: patch.setattr(Stages, "adopt", _raise),
    "before the history": lambda patch: patch.setattr(update_start, "take_next_history", _raise),
    "before the end": lambda patch: patch.setattr(update_run._Update, "_finish", _raise),
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_killed_update_leaves_a_whole_bundle_and_is_finished_by_the_next(repository, monkeypatch, moment):
    output = repository / ".submodel"
    change(repository)
    always_better(monkeypatch)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        KILLS[moment](patch)
        follow(repository, positions=0)
    bundle = read_bundle(output / "bundle")
    check_trusted(bundle.folder, bundle.build)
    read_artifact(output / "model")
    document = follow(repository, positions=0)
    history = read_history(output / "stages")
    assert history is not None
    assert [one["kind"] for one in history.versions] == ["build", "update"]
    assert document["history"][-1]["kept"] == "new"
    assert document["kept"] == ("old" if moment == "before the end" else "new"), "what this run has done"
    assert hash_of_output("finetune", output / "model", output / "stages")
    assert read_bundle(output / "bundle").manifest["finetuning"]["kept_step"] > 0
    assert not (output / "next").exists()


def test_an_update_that_was_killed_while_it_scored_is_scored_by_the_next(repository, monkeypatch):
    change(repository)
    always_better(monkeypatch)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(UpdateScorer, "score_new", _raise)
        follow(repository)
    document = follow(repository)
    last = document["history"][-1]
    assert (last["kept"], document["kept"]) == ("new", "old")
    assert last["held_out"]["positions"] == last["since"]["positions"] == 4
    assert follow(repository)["stages"] == []


def test_a_half_done_swap_is_finished_though_files_have_changed_and_the_next_training_is_refused(
    repository, monkeypatch
):
    output = repository / ".submodel"
    change(repository)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        always_better(patch)
        patch.setattr(update_start, "adopt_model", _raise)
        follow(repository, positions=0)
    path = repository / next(path for path, place in splits(repository).items() if place == "calibration")
    path.write_text(path.read_text() + "\nCHANGED_SINCE = 1\n")
    always_better(monkeypatch, is_better=False)
    document = follow(repository, positions=0)
    assert [(one["kind"], one["kept"]) for one in document["history"]] == [
        ("build", "new"),
        ("update", "new"),
        ("update", "old"),
    ]
    assert document["files"]["to_learn"] == 1
    assert "from_commit" not in document, "what this run has finished is the update before"
    assert hash_of_output("finetune", output / "model", output / "stages")
    follow(repository, positions=0)  # does not ask for a build


def test_a_build_forgets_the_swap_that_an_update_left_half_done(repository, monkeypatch):
    change(repository)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        always_better(patch)
        patch.setattr(update_start, "adopt_model", _raise)
        follow(repository, positions=0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(model_stages, "export_bundle", _raise)
        build(repository, size=0.9)
    model = (repository / ".submodel" / "model" / "model.safetensors").read_bytes()
    with pytest.raises(BuildError, match=r"run `submodel build .* --size 0\.8"):
        follow(repository)
    assert (repository / ".submodel" / "model" / "model.safetensors").read_bytes() == model


def test_without_git_no_line_of_a_changed_file_counts_as_written_since(repository, monkeypatch):
    always_better(monkeypatch)
    path = repository / next(path for path, place in splits(repository).items() if place == "calibration")
    path.write_text(path.read_text() + "\nADDED = 1\n")
    lose_git(repository, monkeypatch)
    assert "since" not in follow(repository)


def test_a_line_is_new_only_where_that_is_known():
    history: Any = SimpleNamespace(
        known=SimpleNamespace(paths={"changed.py": 0, "unknown.py": 0, "old.py": 0}, texts={})
    )
    old: Any = SimpleNamespace(of=lambda paths: {path: "one = 1\n" for path in paths if path != "unknown.py"})
    fresh = {"changed.py", "unknown.py", "added.py", "renamed.py"}
    lines = NewLines(old, history, {"renamed.py": "old.py"}, fresh, ())
    assert {
        (path, line)
        for path in fresh
        for line in ("one = 1", "two = 2")
        if lines.is_new(SourceFile(path=path, language="Python", text="", sha256="", split="calibration"), line)
    } == {
        ("changed.py", "two = 2"), ("renamed.py", "two = 2"), ("added.py", "one = 1"), ("added.py", "two = 2"),
    }  # fmt: skip


def test_a_line_that_stands_in_a_known_text_was_seen():
    history: Any = SimpleNamespace(known=SimpleNamespace(paths={}, texts={}))
    old: Any = SimpleNamespace(of=lambda paths: {})
    examples = [FimExample.of_parts("", f"{line}\n", "", path="added.py") for line in ("copied = 1", "fresh = 2")]
    unseen = NewLines(old, history, {}, {"added.py"}, ()).unseen(examples, ["first = 0\n    copied = 1\n"])
    assert [example.line for example in unseen] == ["fresh = 2"]


def test_an_old_text_is_hashed_once(monkeypatch):
    hashed: list[str] = []
    monkeypatch.setattr(new_lines, "_sha256", lambda text: (hashed.append(text), "read")[1])
    history: Any = SimpleNamespace(known=SimpleNamespace(paths={"old.py": "calibration"}, texts={}))
    old: Any = SimpleNamespace(of=lambda paths: {"old.py": "one = 1\n"})
    examples = [FimExample.of_parts("", f"{line}\n", "", path="old.py") for line in ("one = 1", "two = 2", "six = 6")]
    unseen = NewLines(old, history, {}, {"old.py"}, {"read"}).unseen(examples, [])
    assert [example.line for example in unseen] == ["two = 2", "six = 6"]
    assert hashed == ["one = 1\n"]


def test_a_held_out_part_without_a_line_of_code_is_not_scored(repository):
    for path, place in splits(repository).items():
        if place == "held-out":
            (repository / path).write_text(f"# {path} has become a comment.\n")
    settings = UpdateSettings(repository=repository, output=repository / ".submodel")
    with StageDisplay() as display:
        update = begin(settings, display)
    assert update._scorer.held_out is None


def test_a_file_is_to_learn_if_a_line_is_new_or_nobody_knows_whether_one_is():
    """Its old text may be unknown, or it was held out."""
    texts = {"old.py": "one = 1\ntwo = 2\n", "held_out.py": "one = 1\n"}
    places = dict.fromkeys((*texts, "unknown.py"), "calibration")
    known = {hashlib.sha256(texts["old.py"].encode()).hexdigest(): "calibration"}
    history: Any = SimpleNamespace(known=SimpleNamespace(paths=places, texts=known))
    old: Any = SimpleNamespace(of=lambda paths: {path: texts[path] for path in paths if path in texts})
    lines = NewLines(old, history, {}, {*places, "added.py"}, ())
    for path, text, is_to_learn in (
        ("old.py", "two = 2\n", False),
        ("old.py", "two = 2\n# A comment.\n", False),
        ("old.py", "two = 2\nthree = 3\n", True),
        ("held_out.py", "one = 1\n", True),
        ("unknown.py", "one = 1\n", True),
        ("unknown.py", "# A comment.\n", False),
        ("added.py", "one = 1\n", True),
    ):
        file = SourceFile(path=path, language="Python", text=text, sha256="", split="calibration")
        assert lines.is_to_learn(file) is is_to_learn, (path, text)


@pytest.mark.parametrize("missing", [".submodel", ".submodel/stages/history.json", ".submodel/bundle"])
def test_without_a_build_it_asks_for_one(repository, missing):
    path = repository / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BuildError, match="submodel build"):
        follow(repository)


def test_another_version_and_another_model_ask_for_a_build(repository, monkeypatch):
    change(repository)
    with monkeypatch.context() as patch:
        patch.setattr(update_start, "PROGRAM", "12.7")
        words = r"by version .* of the build, this is 12\.7; run `submodel build .* --size 0\.8"
        with pytest.raises(BuildError, match=words):
            follow(repository)
    with replace_folder(repository / ".submodel" / "model", marker="manifest.json") as fresh:
        shutil.copytree(repository / ".submodel" / "pruned", fresh, dirs_exist_ok=True)
    with pytest.raises(BuildError, match="another base or size"):
        follow(repository)


def test_where_git_lists_the_files_no_more_no_update_begins(repository, monkeypatch):
    """Else what only `.git/info/exclude` names would be learned, and the server would count it as new."""
    listed = read_bundle(repository / ".submodel" / "bundle").manifest["corpus"]
    assert listed == {"listed_by": "git", "skipped": {}}
    change(repository)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotNowError, match="git listed the files of the last version"):
        follow(repository)


def test_a_bundle_that_is_not_of_the_model_asks_for_a_build(repository):
    """As after `submodel pull` over an earlier build."""
    bundle = repository / ".submodel" / "bundle"
    reseal(bundle, learned_sha256=["0" * 64])
    trust_build(build_of(bundle))
    with pytest.raises(BuildError, match=r"pulled or unpacked; run `submodel build .* --size 0\.8"):
        follow(repository)


@pytest.mark.parametrize("is_half_done", [False, True], ids=["at rest", "before a swap is finished"])
def test_nothing_goes_on_from_a_bundle_of_somebody_else(repository, is_half_done):
    stages = repository / ".submodel" / "stages"
    history = read_history(stages)
    assert history is not None
    if is_half_done:
        write_history(stages, history, NEXT)
    reseal(repository / ".submodel" / "bundle", mark="a stranger's")
    with pytest.raises(UntrustedError):
        follow(repository)
    assert (stages / NEXT).exists() is is_half_done, "it is neither taken nor dropped"


def reseal(bundle: Path, **changed: object) -> None:
    """Write the bundle's manifest again, changed."""
    known = read_bundle(bundle).manifest.items()
    kept = {key: value for key, value in known if key not in ("schema", "files", "checksum")}
    write_manifest_of(bundle, {**kept, **changed})


def test_a_history_that_another_account_wrote_is_none(repository, monkeypatch, tmp_path):
    history = read_history(repository / ".submodel" / "stages")
    assert history is not None
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "stranger"))
    write_history(repository / ".submodel" / "stages", history)
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(repository.parent / "state"))
    with pytest.raises(BuildError, match="was not made by this account"):
        follow(repository)


def remember(stages: Path, corpus: Corpus, document: Mapping[str, Any], **others: Any) -> list[dict[str, Any]]:
    facts: dict[str, Any] = {"program": "2.2", "model_hash": "hash", "commit": None, "command": "submodel build"}
    facts |= {"quantize": "int8", "seed": 0}
    return remember_build(stages, corpus, document, **(facts | others))


def test_a_history_of_another_version_asks_for_a_build_and_a_build_begins_it_anew(repository):
    stages = repository / ".submodel" / "stages"
    document = {"program": "1.1", "key": "…", "commit": None, "paths": {}, "texts": {}, "versions": []}
    write_text(stages / FILE, sealed_json(seal_key(), PURPOSE, FILE, document), mode=PRIVATE)
    with pytest.raises(BuildError, match="submodel build"):
        follow(repository)
    corpus = read_corpus(repository)
    remember(stages, corpus, {"finetuning": {"minutes": 1}, "seconds": 2.0, "models": []}, seed=7)
    history = read_history(stages)
    assert history is not None
    assert (history.program, len(history.versions), history.seed) == ("2.2", 1, 7)


def test_a_build_that_is_repeated_has_its_newest_scores_in_the_history(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    corpus: Any = SimpleNamespace(files=())
    for share, seconds in ((0.25, 20.0), (0.5, 2.0)):  # its stages are kept the second time
        row = {"name": "sub-model", "fim_exact_match": share, "positions": 4}
        document = {"finetuning": {"minutes": 1}, "seconds": seconds, "models": [row]}
        versions = remember(tmp_path / "stages", corpus, document)
    assert [(one["held_out"]["fim_exact_match"], one["seconds"]) for one in versions] == [(0.5, 20.0)]


def test_a_model_that_was_made_again_is_a_version_of_its_own(tmp_path, monkeypatch):
    """--force makes another model of the same inputs, which the figures of the one that is gone say nothing of."""
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    corpus: Any = SimpleNamespace(files=())
    row = {"name": "sub-model", "fim_exact_match": 0.25, "positions": 4}
    for made, rows in (("one", [row]), ("another", [])):
        document = {"finetuning": {"minutes": 1}, "seconds": 2.0, "models": rows}
        versions = remember(tmp_path / "stages", corpus, document, made=made)
    assert ["held_out" in one for one in versions] == [True, False]
    history = read_history(tmp_path / "stages")
    assert history is not None
    refused = {"kind": "update", "kept": "old", "seconds": 1.0}
    write_history(tmp_path / "stages", replace(history, versions=(*history.versions, refused)))
    row["fim_exact_match"] = 0.5
    document["models"] = [row]  # that build is run again, and measured
    versions = remember(tmp_path / "stages", corpus, document, made="another")
    assert [one.get("held_out", {}).get("fim_exact_match") for one in versions] == [0.25, 0.5, None]


def test_an_update_draws_by_the_seed_of_its_build(repository, monkeypatch):
    stages = repository / ".submodel" / "stages"
    history = read_history(stages)
    assert history is not None
    write_history(stages, replace(history, seed=7))
    seen: list[UpdateSettings] = []

    def stop(settings: UpdateSettings, *_: object) -> None:
        seen.append(settings)
        raise Killed

    monkeypatch.setattr(update_run, "_Update", stop)
    with pytest.raises(Killed):
        follow(repository)
    assert (seen[0].seed, seen[0].finetuning.seed, seen[0].scoring.seed) == (7, 7, 8)


def test_an_update_of_a_build_that_was_not_fine_tuned_asks_as_its_base_does(repository, monkeypatch):
    bundle = repository / ".submodel" / "bundle"
    taught = read_bundle(bundle).prompt
    build(repository, minutes=0.0)
    asked = read_bundle(bundle).prompt
    assert asked != taught
    change(repository)
    always_better(monkeypatch)
    assert follow(repository)["kept"] == "new"
    assert read_bundle(bundle).prompt == asked


def test_a_build_whose_fine_tuning_was_in_vain_says_so_and_exports_the_pruned_model(repository, monkeypatch, capsys):
    always_better(monkeypatch, is_better=False)
    document = build(repository, force=True)
    assert "Fine-tuning made the model no better" in said(capsys)
    assert document["finetuning"]["kept_step"] == 0
    pruned, model = (load_file(repository / ".submodel" / name / "model.safetensors") for name in ("pruned", "model"))
    assert pruned.keys() == model.keys()
    assert all(torch.equal(pruned[name], model[name]) for name in pruned)


def test_a_build_that_was_stopped_while_it_exported_a_model_made_again_exports_it(repository, monkeypatch):
    output = repository / ".submodel"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(model_stages, "export_bundle", _raise)
        build(repository, force=True)
    stages = {row["name"]: row["is_fresh"] for row in build(repository)["stages"]}
    assert (stages["finetune"], stages["export"]) == (False, True)
    assert is_bundle_of(read_bundle(output / "bundle").manifest, output / "model")

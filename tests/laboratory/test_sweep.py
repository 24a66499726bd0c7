"""`submodel-lab sweep` with a base of two random layers: points, going on, workers that are lost."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from builder.corpus.split import Split
from contract.errors import BuildError, SubmodelError
from laboratory.app import app
from laboratory.datasets import open_dataset
from laboratory.experiments import sweep_run
from laboratory.experiments.method import MethodSettings
from laboratory.experiments.point import Point, Unprepared, measure_point
from laboratory.experiments.quality import QualitySettings
from laboratory.experiments.sweep_run import SweepSettings, is_complete, make_methods, run_sweep
from laboratory.experiments.tables import sweep_tables
from laboratory.experiments.workers import Done, Lost, run_in_processes
from submodel.console import StageDisplay
from testbed.models import save_base
from tests.laboratory.tiny_datasets import write_code

pytestmark = pytest.mark.slow  # whole builds

QUALITY = QualitySettings(excerpts=3, middles=4)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    save_base(root / "base", kind="qwen2")
    write_code(root / "py", ".py", "#")
    write_code(root / "js", ".js", "//")
    return root


def settings_of(place, output, **changes):
    defaults = {
        "output": output,
        "methods": make_methods(["wanda"], [0.5, 0.9], [0], MethodSettings(tokens=1500)),
        "calibrations": ((str(place / "py"),),),
        "measured_on": (str(place / "py"),),
        "base": str(place / "base"),
        "quality": QUALITY,
        "dtype": "float32",
        "threads": 1,
    }
    return SweepSettings(**{**defaults, **changes})


def run(settings):
    with StageDisplay() as display:
        return run_sweep(settings, display)


def in_this_process(tasks, *, jobs, threads):
    for name, document in tasks.items():
        yield Done(name=name, result=measure_point(json.loads(json.dumps(document)), threads))


def without_times(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.parametrize("method", [None, MethodSettings(method="sparsegpt", sparsity=0.3)])
def test_a_point_survives_the_way_to_another_machine(method, monkeypatch):
    point = Point(
        base="b",
        base_sha256="0",
        calibration=("language:python",),
        measured_on=("text",),
        fingerprints={"text": "1"},
        method=method,
        quality=QUALITY,
        dtype="float32",
    )
    assert Point.from_json(json.loads(json.dumps(point.to_json()))) == point
    other = Point.from_json({**point.to_json(), "dtype": "bfloat16"})
    assert other.key != point.key
    key = point.key
    for name, value in (("PIPELINE_VERSION", 0), ("torch", SimpleNamespace(__version__="0"))):
        with monkeypatch.context() as changed:
            changed.setattr(f"laboratory.experiments.point.{name}", value)
            assert point.key != key
    assert not set('/:\\"') & set(point.label)
    with pytest.raises(Unprepared, match="another version"):
        Point.from_json({**point.to_json(), "version": 0})


def test_points_in_processes_of_their_own(place, tmp_path):
    """For real: the command, two workers at a time, one file a point, curves and a picture."""
    command = ["sweep", str(place / "py"), "-o", str(tmp_path), "--base", str(place / "base"), "--method", "wanda"]
    command += ["--method", "magnitude", "--method", "structured", "--sparsity", "0.2", "--tokens", "1500"]
    command += ["--dtype", "float32", "--jobs", "2"]
    command += ["--excerpts", "3", "--middles", "4", "--threads", "1", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output + repr(done.exception)
    document = json.loads(done.stdout)
    assert [row["method"] for row in document["points"]] == ["dense", "wanda", "magnitude", "structured"]
    assert document["failed"] == []
    for row in document["points"]:
        assert 0 < row["quality"]["py"]["bits_per_byte"] < 20
        assert 0 < row["quality"]["py"]["fim_bits_per_byte"] < 20
    dense, wanda, magnitude, structured = (row["removed_share"] for row in document["points"])
    assert dense == 0
    assert 0 < wanda == magnitude < 0.2 <= structured  # embeddings stay whole: less than what was asked for is gone
    assert len(list((tmp_path / "points").iterdir())) == 4
    assert (tmp_path / "sweep.svg").read_text().startswith("<svg xmlns=")
    assert json.loads((tmp_path / "sweep.json").read_text()) == document
    assert {one["figure"] for one in document["rankings"]} == {"bits_per_byte", "fim_bits_per_byte"}
    for ranking in document["rankings"]:
        assert {one["method"] for one in ranking["methods"]} == {"wanda", "magnitude"}
        low, high = ranking["methods"][0]["over_next"]["gain_interval"]
        assert low <= ranking["methods"][0]["over_next"]["gain"] <= high
    _, rankings = sweep_tables(document)
    assert len(rankings.rows) == 2


def test_a_sweep_goes_on_where_it_was(place, tmp_path, monkeypatch):
    asked = []

    def counted(tasks, **options):
        asked.append(len(tasks))
        return in_this_process(tasks, **options)

    monkeypatch.setattr(sweep_run, "run_in_processes", counted)
    first = run(settings_of(place, tmp_path))
    again = run(settings_of(place, tmp_path))
    assert asked == [3]
    assert again["points"] == first["points"]
    more = make_methods(["wanda"], [0.5, 0.9, 0.7], [0], MethodSettings(tokens=1500))
    assert len(run(settings_of(place, tmp_path, methods=more))["points"]) == 4
    assert asked == [3, 1]
    damaged = next((tmp_path / "points").glob("wanda-0.7*"))
    damaged.write_text("{")
    run(settings_of(place, tmp_path, methods=more))
    assert asked == [3, 1, 1]
    bits = [row["quality"]["py"]["bits_per_byte"] for row in first["points"]]
    assert bits[0] != bits[1] != bits[2]


def test_a_lost_worker_costs_its_point_only_and_the_numbers_stay(place, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_run, "run_in_processes", in_this_process)
    whole = run(settings_of(place, tmp_path / "whole"))
    times = []

    def unlucky(tasks, **options):
        """The second point's worker dies, as often as `times` says."""
        for outcome in in_this_process(tasks, **options):
            if len(tasks) == 1 or outcome.name == list(tasks)[1]:
                times.append(outcome.name)
                if len(times) <= deaths:
                    yield Lost(name=outcome.name, reason="it was killed", is_final=False)
                    continue
            yield outcome

    monkeypatch.setattr(sweep_run, "run_in_processes", unlucky)
    deaths = 1
    once = run(settings_of(place, tmp_path / "once"))
    assert once["failed"] == []
    assert without_times(once["points"]) == without_times(whole["points"])
    deaths = 99
    times.clear()
    never = run(settings_of(place, tmp_path / "never"))
    assert [one["reason"] for one in never["failed"]] == ["it was killed"]
    assert len(never["points"]) == 2
    assert len(times) == 2
    monkeypatch.setattr(sweep_run, "run_in_processes", in_this_process)
    assert without_times(run(settings_of(place, tmp_path / "never"))["points"]) == without_times(whole["points"])


def test_a_point_that_cannot_be_is_reported_and_not_tried_again(place, tmp_path, monkeypatch):
    tried = []

    def noted(tasks, **options):
        for name, document in tasks.items():
            tried.append(name)
            try:
                yield Done(name=name, result=measure_point(document, 1))
            except SubmodelError as error:
                yield Lost(name=name, reason=str(error), is_final=True)

    monkeypatch.setattr(sweep_run, "run_in_processes", noted)
    methods: tuple[MethodSettings, ...] = (MethodSettings(method="structured", sparsity=0.9, tokens=1500),)
    document = run(settings_of(place, tmp_path, methods=methods))
    assert "can't be reached" in document["failed"][0]["reason"]
    assert len(tried) == len(set(tried)) == 2
    assert not is_complete(document)  # there is nothing but the base
    methods += (MethodSettings(method="wanda", tokens=1500),)
    assert is_complete(run(settings_of(place, tmp_path, methods=methods)))


def test_a_sweep_that_lost_points_ends_with_1(place, tmp_path, monkeypatch):
    def unlucky(tasks, **options):
        for name, document in tasks.items():
            if document["method"] is None:
                yield Done(name=name, result=measure_point(document, 1))
            else:
                yield Lost(name=name, reason="it was killed", is_final=False)

    monkeypatch.setattr(sweep_run, "run_in_processes", unlucky)
    (tmp_path / "sweep.svg").write_text("an earlier sweep's")
    command = ["sweep", str(place / "py"), "-o", str(tmp_path), "--base", str(place / "base"), "--sparsity", "0.5"]
    done = CliRunner().invoke(app, [*command, "--tokens", "1500", "--dtype", "float32", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["failed"][0]["reason"] == "it was killed"
    assert not (tmp_path / "sweep.svg").exists()
    refused = CliRunner().invoke(app, [*command, "--dtype", "float8"])
    assert isinstance(refused.exception, BuildError) and "float8" in str(refused.exception)


def test_what_one_dataset_learns_from_is_not_measured_on_in_another(place, tmp_path, monkeypatch):
    def opened(spec, **options):
        dataset = open_dataset(spec, **options)
        if not spec.endswith("fork"):
            return dataset
        others: dict[Split, Split] = {"held-out": "calibration", "calibration": "held-out", "validation": "validation"}
        files = tuple(replace(file, split=others[file.split]) for file in dataset.corpus.files)
        return replace(dataset, corpus=replace(dataset.corpus, files=files))

    monkeypatch.setattr(sweep_run, "open_dataset", opened)
    fork = shutil.copytree(place / "py", tmp_path / "fork")
    with pytest.raises(BuildError, match="figures would be too good"):
        run(settings_of(place, tmp_path, calibrations=((str(place / "py"),), (str(fork),))))
    monkeypatch.setattr(sweep_run, "run_in_processes", lambda tasks, **options: iter(()))
    both = {"measured_on": (str(place / "js"), str(place / "py"), str(fork))}
    run(settings_of(place, tmp_path, calibrations=((str(place / "js"),),), **both))  # those two only listen


def test_other_texts_or_weights_than_the_sweeps_are_refused(place, tmp_path, monkeypatch):
    documents = []
    monkeypatch.setattr(
        sweep_run, "run_in_processes", lambda tasks, **options: documents.extend(tasks.values()) or iter(())
    )
    run(settings_of(place, tmp_path))
    changed = {**documents[0], "fingerprints": dict.fromkeys(documents[0]["fingerprints"], "other")}
    with pytest.raises(Unprepared, match="other texts"):
        measure_point(changed)
    with pytest.raises(Unprepared, match="other weights"):
        measure_point({**documents[0], "base_sha256": "other"})
    with pytest.raises(Unprepared, match="another version"):
        measure_point({**documents[0], "version": 0})
    gone = {**documents[0], "base": str(tmp_path / "gone")}
    tasks = {"gone": gone, "late": {**documents[1], "method": None}}
    outcomes = {outcome.name: outcome for outcome in run_in_processes(tasks, jobs=2, threads=1)}
    assert isinstance(outcomes["late"], Done)
    assert not outcomes["gone"].is_final, "another machine may have the base"
    assert "gone" in outcomes["gone"].reason


def test_combinations_and_what_cannot_be():
    made = make_methods(["wanda", "structured"], [0.1, 0.2], [0, 1], MethodSettings())
    assert [(one.method, one.sparsity, one.seed) for one in made] == [
        ("wanda", 0.1, 0),
        ("wanda", 0.1, 1),
        ("wanda", 0.2, 0),
        ("wanda", 0.2, 1),
        ("structured", 0.1, 0),
        ("structured", 0.1, 1),
        ("structured", 0.2, 0),
        ("structured", 0.2, 1),
    ]
    with pytest.raises(BuildError, match="texts"):
        SweepSettings(output=Path(), methods=(), calibrations=(), measured_on=())
    with pytest.raises(BuildError, match="excerpt"):
        QualitySettings(excerpts=0)


def test_a_sweep_shares_the_processors(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 600)
    settings = SweepSettings(
        output=tmp_path, methods=(MethodSettings(),), calibrations=(("d",),), measured_on=("d",), jobs=3
    )
    assert settings.threads_each == 200

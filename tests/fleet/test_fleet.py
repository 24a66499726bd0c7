"""`submodel-fleet build`: what is built, kept, reported. Builds are played, not those of `test_fleet_on_ray.py`."""

from __future__ import annotations

import errno
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from builder.bases.resolve import SECOND_CHOICE, resolve_base
from contract.bundle.bundle import Bundle, read_bundle
from contract.files.folders import IGNORED
from contract.files.seals import seal_key
from contract.files.state_folder import StateFolderError
from fleet import fleet_run, identity
from fleet.app import app
from fleet.fleet_file import read_fleet_file
from fleet.identity import look_at
from fleet.results import read_result
from submodel.build.lock import build_lock
from testbed.models import save_base


class Builds:
    """A cluster that is played: it copies a tiny bundle, and fails for the names that `failing` has."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.done: list[str] = []
        self.failing: dict[str, str] = {}
        self.repositories: dict[str, Any] = {}  # that are looked at when their task begins
        self.before_each: Callable[[Any], object] = lambda task: None

    def __call__(self, tasks: Any, *, address: str, on_event: Any) -> Iterator[tuple[str, Any]]:
        for name, (task, _) in tasks.items():
            self.before_each(task)
            self.done.append(name)
            if name in self.failing:
                yield name, {"reason": self.failing[name], "seconds": 1.0}
                continue
            build = Path(task.work) / name / "build"
            shutil.copytree(self._bundle.folder, build / "bundle")
            gain = -0.25 if "worse" in name else 0.1
            scores = {"positions": 40, "fim_exact_match": 0.5 + gain, "bits_per_byte": 1.0}
            document = {
                "base": {"name": "base"},
                "models": [{**scores, "name": "base", "fim_exact_match": 0.5}, {**scores, "name": "sub-model"}],
                "against_base": {
                    "sub-model": {"exact_match_difference": {"value": gain, "low": gain - 0.05, "high": gain + 0.05}}
                },
                "is_worse": gain < 0,
                "paths": {},
            }
            (build / "report.json").write_text(json.dumps(document))
            (build / "report.html").write_text("<html>")
            fingerprint = look_at(self.repositories[name]) if name in self.repositories else task.fingerprint
            yield name, {"fingerprint": fingerprint, "machine": "here", "seconds": 2.5}


@pytest.fixture
def builds(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Builds:
    played = Builds(tiny_bundle)
    monkeypatch.setattr(fleet_run, "build_on_cluster", played)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: name == "ray" or find(name, *more))  # played
    return played


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("bases") / "base")


@pytest.fixture
def place(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("good", "worse", "third"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(f"NAME = {name!r}\n")
    (tmp_path / "fleet.toml").write_text(
        f'repositories = ["good", "worse", "third"]\n[build]\nbase = {str(base)!r}\nminutes = 0\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, status: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["build", "fleet.toml", "-o", "out", "--json", *words])
    assert done.exit_code == status, done.output + repr(done.exception)
    document = json.loads(done.stdout)
    assert document == json.loads(Path("out/fleet.json").read_text())
    return dict(document)


def states(document: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["state"] for row in document["repositories"]}


def test_other_rules_of_reading_and_another_scoring_build_again(
    place: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that an older version did not know would stay in a result that is kept."""
    for name, value in (("_reading_rules", lambda: "newer"), ("SCORING_VERSION", 1_000), ("PROGRAM", "0.0")):
        run()
        assert set(states(run()).values()) == {"kept"}
        monkeypatch.setattr(identity, name, value)
        assert set(states(run()).values()) == {"built"}


def test_each_is_built_once_and_again_only_if_it_changed(place: Path, builds: Builds) -> None:
    first = run()
    assert states(first) == {"good": "built", "worse": "built", "third": "built"}
    row = first["repositories"][0]
    assert row["result"]["bundle"]["build"] == read_bundle(place / "out" / "good" / "bundle").build
    assert not list((place / "out" / ".work").glob("*/build"))
    builds.done.clear()
    assert set(states(run()).values()) == {"kept"}
    assert builds.done == []
    (place / "third" / "a.py").write_text("NAME = 3\n")
    (place / "good" / "notes.bin").write_bytes(b"\0")  # no build reads it
    assert states(run()) == {"good": "kept", "worse": "kept", "third": "built"}
    assert builds.done == ["third"]


@pytest.mark.parametrize(
    ("old", "new"), [("minutes = 0", "minutes = 1"), ("minutes = 0", "seed = 1"), ("base", "base = 'BASE' #")]
)
def test_other_settings_or_another_base_build_all_again(place: Path, builds: Builds, old: str, new: str) -> None:
    run()
    builds.done.clear()
    path = place / "fleet.toml"
    if "BASE" in new:
        other = save_base(place / "other", kind="qwen2")
        text = path.read_text().replace("base = ", f"base = {str(other)!r} # ")
    else:
        text = path.read_text().replace(old, new)
    path.write_text(text)
    run()
    assert sorted(builds.done) == ["good", "third", "worse"]


def test_a_failure_is_a_row_and_its_old_bundle_stays(place: Path, builds: Builds) -> None:
    before = run()["repositories"][1]["result"]
    (place / "worse" / "a.py").write_text("NAME = 4\n")
    shutil.rmtree(place / "third")
    builds.failing["worse"] = "There is <too> little code."
    document = run(status=1)
    assert states(document) == {"good": "kept", "worse": "failed", "third": "failed"}
    assert document["counts"] == {"built": 0, "kept": 1, "failed": 2, "waiting": 0}
    assert document["repositories"][1]["reason"] == "There is <too> little code."
    assert document["repositories"][1]["result"] == before
    assert "There is no folder" in document["repositories"][2]["reason"]
    read_bundle(place / "out" / "worse" / "bundle")
    page = (place / "out" / "fleet.html").read_text()
    assert "There is &lt;too&gt; little code. The bundle of an earlier build stays." in page
    builds.failing.clear()
    assert states(run(status=1))["worse"] == "built"


def test_one_previous_result_is_kept(place: Path, builds: Builds) -> None:
    """So that there is a way back from a model that is worse."""
    run()
    assert not (place / "out" / ".previous").exists()
    records = [(place / "out" / "third" / "result.json").read_bytes()]
    for number in (1, 2):
        (place / "third" / "a.py").write_text(f"NAME = {number}\n")
        run()
        records.append((place / "out" / "third" / "result.json").read_bytes())
    previous = place / "out" / ".previous"
    assert [one.name for one in previous.iterdir()] == ["third"]
    assert (previous / "third" / "result.json").read_bytes() == records[1]
    shutil.rmtree(place / "out" / "third")
    (previous / "third").rename(place / "out" / "third")
    (place / "third" / "a.py").write_text("NAME = 1\n")
    assert states(run())["third"] == "kept", "it is a result like any other"


def test_the_number_of_models_that_are_worse_is_printed(place: Path, builds: Builds) -> None:
    words = ["build", "fleet.toml", "-o", "out"]
    assert "Worse than their base: 1; the page shows them first." in CliRunner().invoke(app, words).output
    path = place / "fleet.toml"
    path.write_text(path.read_text().replace('"worse", ', ""))
    assert "Worse" not in CliRunner().invoke(app, words).output


def test_a_base_that_cannot_be_found_fails_the_repositories_that_name_it(place: Path, builds: Builds) -> None:
    before = run()["repositories"][1]["result"]
    path = place / "fleet.toml"
    path.write_text(path.read_text().replace('"worse"', '{ source = "worse", build = { base = "./nowhere" } }'))
    document = run(status=1)
    assert states(document) == {"good": "kept", "worse": "failed", "third": "kept"}
    assert "There is no base model" in document["repositories"][1]["reason"]
    assert document["repositories"][1]["result"] == before


def test_a_second_choice_of_auto_is_no_base_of_a_fleet(
    place: Path, builds: Builds, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night without the hub would build all models on another base."""
    found = resolve_base(str(base))
    second = replace(found, name="smollm2-135m", why=f"{SECOND_CHOICE} (qwen: the hub can't be reached.)")
    monkeypatch.setattr(fleet_run, "resolve_base", lambda spec, **_: second if spec == "auto" else found)
    path = place / "fleet.toml"
    path.write_text(path.read_text().replace('"worse"', '{ source = "worse", build = { base = "auto" } }'))
    document = run(status=1)
    assert states(document) == {"good": "built", "worse": "failed", "third": "built"}
    reason = document["repositories"][1]["reason"]
    assert reason.startswith('base = "auto" would give all repositories smollm2-135m: it is the best that is available')
    assert reason.endswith('write base = "smollm2-135m" in [build].')


def test_the_page_shows_the_worst_first(place: Path, builds: Builds) -> None:
    run()
    page = (place / "out" / "fleet.html").read_text()
    names = ("good", "worse", "third")
    assert sorted(names, key=lambda name: page.index(f'href="{name}/report.html"')) == ["worse", "good", "third"]
    assert "2 sub-models complete more lines exactly than their base, beyond chance; 1 are worse" in page


def test_a_result_that_came_with_a_repository_is_not_believed(place: Path, builds: Builds) -> None:
    run()
    record = place / "out" / "good" / "result.json"
    record.write_text(record.read_text().replace('"machine": "here"', '"machine": "there"'))
    manifest = place / "out" / "worse" / "bundle" / "bundle.json"
    manifest.write_text(manifest.read_text() + "\n")
    assert read_result(place / "out", "third", bytes(32)) is None, "another user's"
    assert read_result(place / "out", "third", seal_key()) is not None
    assert states(run()) == {"good": "built", "worse": "built", "third": "kept"}


def test_a_folder_of_somebody_else_is_not_replaced(place: Path, builds: Builds) -> None:
    (place / "out" / "good").mkdir(parents=True)
    (place / "out" / "good" / "thesis.txt").write_text("years of work")
    assert CliRunner().invoke(app, ["build", "fleet.toml", "-o", "out"]).exit_code == 1
    assert builds.done == [], "a folder that no fleet has made is refused as a whole"
    (place / "out" / ".gitignore").write_text("*\n")
    document = run(status=1)
    assert states(document) == {"good": "failed", "worse": "built", "third": "built"}
    assert "holds files but no result.json" in document["repositories"][0]["reason"]
    assert (place / "out" / "good" / "thesis.txt").read_text() == "years of work"
    assert (place / "out" / ".work" / "good" / "build" / "bundle").is_dir(), "what was built is not lost"


@pytest.mark.parametrize(
    ("last_step", "error"),
    [
        ("contract.files.folders.sync_tree", OSError(errno.EIO, "Input/output error")),
        ("fleet.results.trust_build", StateFolderError("The state folder is full.")),
    ],
)
def test_a_result_that_cannot_take_its_place_leaves_the_build_whole(
    place: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch, last_step: str, error: Exception
) -> None:

    def fail(_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(last_step, fail)
        assert set(states(run(status=1)).values()) == {"failed"}
    assert not (place / "out" / "good").exists()
    read_bundle(place / "out" / ".work" / "good" / "build" / "bundle")


def test_a_stopped_run_leaves_an_index_of_what_is_there(place: Path, builds: Builds) -> None:
    def stop(task: Any) -> None:
        if builds.done:
            raise KeyboardInterrupt

    builds.before_each = stop
    done = CliRunner().invoke(app, ["build", "fleet.toml", "-o", "out"])
    assert done.exit_code != 0
    document = json.loads((place / "out" / "fleet.json").read_text())
    assert states(document) == {"good": "built", "worse": "waiting", "third": "waiting"}
    builds.before_each = lambda task: None
    assert states(run()) == {"good": "kept", "worse": "built", "third": "built"}


def test_the_unfinished_build_of_a_repository_that_left_the_file_is_removed(place: Path, builds: Builds) -> None:
    path = place / "fleet.toml"
    path.write_text(path.read_text().replace('"worse"', '{ source = "worse", name = "Worse" }'))
    for name in ("gone", "held", "Worse"):
        (place / "out" / ".work" / name / "build").mkdir(parents=True)
    (place / "out" / ".gitignore").write_text(IGNORED)
    builds.failing = {"Worse": "no"}
    with build_lock(place / "out" / ".work" / "held"):  # by a process that lost its cluster
        run(status=1)
    left = {path.name for path in (place / "out" / ".work").iterdir() if path.is_dir()}
    assert left == {"held", "Worse"}


def test_a_folder_that_changes_before_its_task_is_known_as_what_was_built(place: Path, builds: Builds) -> None:
    builds.repositories = {one.name: one for one in read_fleet_file(place / "fleet.toml")}
    builds.before_each = lambda task: (place / task.name / "a.py").write_text("LATER = 1\n")
    run()
    builds.before_each = lambda task: None
    assert set(states(run()).values()) == {"kept"}


def test_without_ray_it_says_how_to_get_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else real(name, *rest))
    done = CliRunner().invoke(app, ["build", "fleet.toml"])
    assert done.exit_code != 0
    assert "needs ray; install them with: " in str(done.exception)
    assert "[build,fleet" in str(done.exception)

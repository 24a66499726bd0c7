"""A fleet's Ray cluster, played: what fits no machine, what crashes, and machines that join and leave."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import SubmodelError
from contract.files.state_folder import state_folder
from fleet import cluster
from fleet.cluster import build_on_cluster
from fleet.fleet_file import TaskPart
from fleet.task import Task
from tests.fleet.fleet_tasks import make_task


def task_of(name: str) -> Task:
    return make_task(Path(), name=name, cores=1)


DONE = {"fingerprint": "f", "seconds": 1.0}


def outcome_of(name: str) -> bytes:
    return json.dumps(DONE | {"machine": name}).encode()


class RayError(Exception):
    pass


class WorkerCrashedError(RayError):
    pass


class OutOfMemoryError(RayError):
    pass


class Reference:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document


class Played:
    """Ray as far as it is used; a task's name says how it ends."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, Any]] = []
        self.most_pending = 0
        self.exceptions = SimpleNamespace(
            RayError=RayError, WorkerCrashedError=WorkerCrashedError, OutOfMemoryError=OutOfMemoryError
        )
        self.on_wait: Callable[[], None] = lambda: None
        self.on_init: Callable[[], None] = lambda: None
        self.clock_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.clock_s += seconds

    def init(self, **options: Any) -> None:
        self.on_init()
        self.calls.append(("init", options))

    def shutdown(self) -> None:
        self.calls.append(("shutdown", {}))

    def nodes(self) -> list[dict[str, Any]]:
        dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0, "memory": 1e12}}
        return [{"Alive": True, "Resources": {"CPU": 2.0, "memory": 8e9}}, dead]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address="127.0.0.1:1")

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        self.calls.append(("remote", options))

        def with_options(**options: Any) -> Any:
            self.calls.append(("options", options))
            return SimpleNamespace(remote=Reference)

        return lambda function: SimpleNamespace(options=with_options)

    def wait(self, references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        self.most_pending = max(self.most_pending, len(references))
        self.on_wait()
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        name = reference.document["name"]
        ends = {
            "crash": WorkerCrashedError("died"),
            "memory": OutOfMemoryError("full"),
            "odd": RayError("Ray says so."),
        }
        if name in ends:
            raise ends[name]
        return self.answers.get(name, outcome_of(name))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    played = Played()
    monkeypatch.setitem(sys.modules, "ray", played)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))  # asks for a token
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: played.clock_s, sleep=played.sleep))
    yield played
    assert [name for name, _ in played.calls if name in ("init", "shutdown")][-1:] in ([], ["shutdown"])


def build(names: list[str], part: TaskPart | None = None, address: str = "auto") -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    tasks = {name: (task_of(name), part or TaskPart()) for name in names}
    outcomes = list(build_on_cluster(tasks, address=address, on_event=said.append))
    assert len(outcomes) == len(names), "each once"
    return dict(outcomes), said


def test_a_crash_is_an_outcome_and_the_others_go_on(ray: Played) -> None:
    outcomes, _ = build(["a", "crash", "memory", "odd", "b"])
    assert (outcomes["a"], outcomes["b"]) == (DONE | {"machine": "a"}, DONE | {"machine": "b"})
    assert "killed, or native code crashed" in outcomes["crash"]["reason"]
    assert "raise memory_gb" in outcomes["memory"]["reason"]
    assert "Ray says so" in outcomes["odd"]["reason"]
    assert ("remote", {"max_retries": cluster.RETRIES}) in ray.calls


def test_ray_does_not_start_in_the_folder_that_the_user_stands_in(
    ray: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its workers import from there, and it may be a stranger's repository."""
    monkeypatch.chdir(tmp_path)
    places: list[Path] = []
    ray.on_init = lambda: places.append(Path.cwd())
    build(["a"])
    assert places == [state_folder()]
    assert Path.cwd() == tmp_path


def test_what_fits_no_machine_is_refused_and_not_waited_for(ray: Played) -> None:
    for part, words in (
        (TaskPart(cores=3), "3 cores; ask"),
        (TaskPart(memory_gb=9), "9 GB"),
        (TaskPart(gpus=1), "1 GPUs"),
    ):
        assert words in build(["a"], part)[0]["a"]["reason"]
    assert build(["a"], TaskPart(cores=2, memory_gb=8))[0]["a"] == DONE | {"machine": "a"}
    assert ("options", {"num_cpus": 2, "num_gpus": 0, "memory": 8_000_000_000, "name": "a"}) in ray.calls


def test_a_thousand_are_not_handed_over_at_once(ray: Played) -> None:
    build([str(number) for number in range(1000)])
    assert ray.most_pending <= 16


def test_machines_that_join_a_new_head_are_waited_for_before_a_build_is_refused(
    ray: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = ray.nodes
    monkeypatch.setattr(ray, "nodes", lambda: nodes() if ray.clock_s >= 20 else [])
    outcomes, said = build(["a", "b"])
    assert outcomes == {name: DONE | {"machine": name} for name in "ab"}
    assert said == ["Some builds fit no machine of the Ray cluster; waiting 60 s for others to join it."]


def test_a_cluster_of_this_machine_alone_is_not_waited_for(ray: Played) -> None:
    outcomes, said = build(["a"], TaskPart(cores=3), address="local")
    assert "3 cores; ask" in outcomes["a"]["reason"]
    assert (said, ray.clock_s) == ([], 0.0)


@pytest.mark.parametrize("away_s", [cluster.UNFIT_S / 2, 10 * cluster.UNFIT_S])
def test_a_machine_that_leaves_is_waited_for_and_not_forever(
    ray: Played, monkeypatch: pytest.MonkeyPatch, away_s: float
) -> None:
    """Ray itself would keep its builds waiting; one that comes back gets them again."""
    nodes = ray.nodes
    cancelled: list[Any] = []

    def wait(references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        ray.sleep(timeout)
        return (references[:1] if ray.clock_s >= away_s else []), references[1:]

    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr(ray, "nodes", lambda: nodes() if ray.clock_s == 0 or ray.clock_s >= away_s else [])
    monkeypatch.setattr(ray, "cancel", cancelled.append, raising=False)
    outcomes, _ = build(["a", "b"])
    if away_s < cluster.UNFIT_S:
        assert outcomes == {name: DONE | {"machine": name} for name in "ab"} and not cancelled
    else:
        assert all("No machine of the Ray cluster" in outcomes[name]["reason"] for name in "ab")
        assert len(cancelled) == 2 and ray.clock_s < 2 * cluster.UNFIT_S


def test_a_cluster_that_is_not_there_is_reported_at_once(ray: Played) -> None:
    def init() -> None:
        raise ConnectionError("Failed to connect.\nmore")

    ray.on_init = init
    with pytest.raises(SubmodelError, match=r"There is no Ray cluster at host:1 \(Failed to connect\); start one"):
        build(["a"], address="host:1")


def test_a_busy_machine_starts_its_own_ray_at_another_try(ray: Played) -> None:
    tries = [0]

    def init() -> None:
        tries[0] += 1
        if tries[0] <= busy:
            raise Exception("The current node timed out during startup.")

    ray.on_init = init
    busy = 2
    assert build(["a"], address="local")[0] == {"a": DONE | {"machine": "a"}}
    tries[0], busy = 0, 3
    with pytest.raises(SubmodelError, match="timed out during startup"):
        build(["a"], address="local")
    assert tries == [3]


@pytest.mark.parametrize(
    "answer",
    [
        DONE | {"machine": "a"},  # what older versions sent, as a pickle
        pickle.dumps(DONE | {"machine": "a"}),
        b'{"machine": "a"}',
        b'{"fingerprint": 1, "machine": "a", "seconds": 1.0}',
        b"[" * 100_000,
        json.dumps(DONE | {"machine": "a" * (64 << 10)}).encode(),
        None,
    ],
)
def test_an_outcome_is_taken_as_json_alone(ray: Played, answer: object) -> None:
    """Whatever Ray had unpickled would count."""
    ray.answers["a"] = answer
    assert build(["a", "b"])[0] == {
        "a": {"reason": "Its machine sent no outcome; install one version of submodel on all machines."},
        "b": DONE | {"machine": "b"},
    }


def test_a_cluster_that_asks_nobody_for_a_token_gets_no_work(ray: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], str]] = []

    def run(command: list[str], *, env: dict[str, str], **_: object) -> SimpleNamespace:
        asked.append((command[-3:], env["RAY_AUTH_MODE"]))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(SubmodelError, match=r"at 127\.0\.0\.1:1 asks nobody for a token"):
        build(["a"], address="host:1")
    assert asked == [(["health-check", "--address", "127.0.0.1:1"], "disabled")]
    assert not any(name == "remote" for name, _ in ray.calls)
    assert build(["a"], address="local")[0] == {"a": DONE | {"machine": "a"}}, "Ray starts it with a token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert build(["a"], address="host:1")[0] == {"a": DONE | {"machine": "a"}}, "the user knows"
    assert len(asked) == 1

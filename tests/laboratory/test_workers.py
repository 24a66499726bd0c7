"""The workers of a sweep: processes of their own that die, and a Ray cluster that is played."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from contract.errors import SubmodelError
from laboratory.experiments import workers
from laboratory.experiments.point import Unprepared
from laboratory.experiments.workers import Done, Lost, run_in_processes, run_on_ray


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_process_that_is_killed_is_lost_and_the_others_are_not(monkeypatch):
    real, started = subprocess.Popen, []

    def popen(command, **options):
        started.append(command)
        programs = {
            "killed": f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})",
            "refused": f"import sys; print('This can not be.', file=sys.stderr); sys.exit({workers.REFUSED})",
            "unprepared": f"import sys; print('Not here.', file=sys.stderr); sys.exit({workers.UNPREPARED})",
            "broken": "raise ValueError('a defect')",
            "fine": "import sys; open(sys.argv[1], 'w').write('{\"x\": 1}')",
        }
        source, target, threads = command[-3:]
        assert threads == "3" and options["env"]["OMP_NUM_THREADS"] == "3"
        return real([sys.executable, "-c", programs[json.loads(Path(source).read_text())["what"]], target], **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    tasks = {what: {"what": what} for what in ("killed", "refused", "unprepared", "broken", "fine")}
    outcomes = {outcome.name: outcome for outcome in run_in_processes(tasks, jobs=2, threads=3)}
    assert outcomes["fine"] == Done(name="fine", result={"x": 1})
    assert outcomes["refused"] == Lost(name="refused", reason="This can not be.", is_final=True)
    assert outcomes["unprepared"] == Lost(name="unprepared", reason="Not here.", is_final=False)
    assert not outcomes["killed"].is_final and "killed (9)" in outcomes["killed"].reason
    assert not outcomes["broken"].is_final and "a defect" in outcomes["broken"].reason
    assert all(command[1:4] == ["-P", "-m", "laboratory.experiments"] for command in started)


def test_a_sweep_that_is_stopped_leaves_no_process(monkeypatch):
    real, started = subprocess.Popen, []

    def popen(command, **options):
        started.append(real([sys.executable, "-c", "import time; time.sleep(60)"], **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    clock = SimpleNamespace(sleep=lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr("laboratory.experiments.workers.time", clock)
    with pytest.raises(KeyboardInterrupt):
        list(run_in_processes({"a": {}, "b": {}}, jobs=2, threads=1))
    assert all(process.poll() is not None for process in started)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the task of a worker that waits is a named pipe")
def test_a_sweep_that_is_killed_takes_its_workers_along(tmp_path):
    os.mkfifo(tmp_path / "never")
    sweep = """if True:
        import subprocess, sys
        from laboratory.experiments import workers
        real = subprocess.Popen

        def popen(command, **options):
            process = real([*command[:4], sys.argv[1], *command[5:]], **options)
            print(process.pid, flush=True)
            return process

        workers.subprocess.Popen = popen
        list(workers.run_in_processes({"a": {}}, jobs=1, threads=1))
    """
    command = [sys.executable, "-c", sweep, str(tmp_path / "never")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        worker = psutil.Process(int(process.stdout.readline()))
        assert _is_alive(worker)
        process.kill()
    deadline = time.monotonic() + 120
    while _is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_alive(worker)


def _is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def played_ray(monkeypatch):
    """Ray as far as it is used: tasks run at once, one named "crash" loses its worker, one named "refuse" says no."""

    class RayError(Exception):
        pass

    class Traced:
        """Ray raises a task's error under a class that is both, worded as its traceback."""

        def __init__(self, cause):
            self.cause = cause

        def __str__(self):
            return f"Traceback\n  deep inside\n{type(self.cause).__module__}.{type(self.cause).__name__}: {self.cause}"

    class TaskError(Traced, RayError, SubmodelError):
        pass

    class UnpreparedTask(Traced, RayError, Unprepared):
        pass

    class Reference:
        def __init__(self, *arguments):
            self.arguments = arguments

    calls = []

    def remote(**options):
        calls.append(("remote", options))
        return lambda function: SimpleNamespace(remote=Reference)

    def get(reference):
        print("(raylet) a node has died")
        document, threads = reference.arguments
        if document["what"] == "crash":
            raise RayError("The worker died unexpectedly.")
        if document["what"] == "refuse":
            raise TaskError(SubmodelError("This can not be."))
        if document["what"] == "outdated":
            raise UnpreparedTask(Unprepared("Another version is here."))
        return {"what": document["what"], "threads": threads}

    fake = SimpleNamespace(
        nodes=lambda: [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 64.0}}],
        init=lambda **options: calls.append(("init", options)),
        shutdown=lambda: calls.append(("shutdown", {})),
        remote=remote,
        wait=lambda references, num_returns: (references[-1:], references[:-1]),
        get=get,
        exceptions=SimpleNamespace(RayError=RayError),
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    return calls


def test_a_cluster_does_the_points(played_ray, capsys):
    tasks = {what: {"what": what} for what in ("fine", "crash", "refuse", "outdated")}
    outcomes = {outcome.name: outcome for outcome in run_on_ray(tasks, address="local", threads=2)}
    assert outcomes["fine"] == Done(name="fine", result={"what": "fine", "threads": 2})
    assert outcomes["crash"] == Lost(name="crash", reason="The worker died unexpectedly.", is_final=False)
    assert outcomes["refuse"] == Lost(name="refuse", reason="This can not be.", is_final=True)
    assert outcomes["outdated"] == Lost(name="outdated", reason="Another version is here.", is_final=False)
    reported = capsys.readouterr()
    assert reported.out == ""
    assert "a node has died" in reported.err
    names = [name for name, _ in played_ray]
    assert names == ["init", "remote", "shutdown"]
    assert played_ray[0][1]["address"] == "local"  # a new one, though another may be at work on this machine
    assert played_ray[1][1] == {"num_cpus": 2, "max_retries": 1}


def test_a_cluster_of_smaller_machines_is_not_waited_for(played_ray):
    with pytest.raises(SubmodelError, match=r"8 cores, the largest 4; ask for less with --threads"):
        list(run_on_ray({"fine": {"what": "fine"}}, address="auto", threads=8))
    assert played_ray[-1][0] == "shutdown"


def test_a_cluster_that_is_not_there_is_reported(played_ray, monkeypatch):
    def init(**options):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(sys.modules["ray"], "init", init)
    with pytest.raises(SubmodelError, match="timed out during startup"):
        list(run_on_ray({"a": {}}, address="local", threads=1))


def test_without_ray_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SubmodelError, match="package ray"):
        list(run_on_ray({"a": {}}, address="auto", threads=1))

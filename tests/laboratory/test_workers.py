"""The workers of a sweep: processes of their own that die."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from laboratory.experiments import workers
from laboratory.experiments.workers import Done, Lost, run_in_processes


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

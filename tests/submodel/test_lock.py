"""Two builds at once: the second is told of the first, and a dead one holds nothing."""

import errno
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from contract.errors import BuildError
from contract.files.folders import IGNORED
from submodel.build import pipeline
from submodel.build.build_settings import BuildSettings
from submodel.build.lock import LOCK, HeldError, LockedError, build_lock, when_free
from submodel.console import StageDisplay

HOLDER = """
import sys, time
from pathlib import Path
from submodel.build.lock import build_lock
with build_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_build_names_the_first(tmp_path, holder):
    with (
        pytest.raises(BuildError, match=rf"process {holder.pid} on .*since .*{re.escape(str(tmp_path))}"),
        build_lock(tmp_path),
    ):
        pass


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_killed_build_holds_nothing(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with build_lock(tmp_path):
        pass


def test_what_waits_for_another_command_goes_on_when_it_ends_and_gives_up_after_a_time(monkeypatch):
    now, tries, said = [0.0], [0], []
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr("submodel.build.lock.time", clock)

    def work(busy):
        tries[0] += 1
        if tries[0] <= busy:
            raise HeldError("Another submodel command is writing.")

    when_free(lambda: work(3), said.append, 180.0)
    assert (tries, said) == ([4], ["Another submodel command is writing."])
    tries[0] = 0
    with pytest.raises(HeldError):
        when_free(lambda: work(1000), said.append, 180.0)
    assert now[0] > 180.0


def test_a_second_build_is_refused_before_it_reads_the_repository(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(pipeline, "read_checkout", lambda *_: pytest.fail("it reads"))
    (tmp_path / ".gitignore").write_text(IGNORED)
    settings = BuildSettings(repository=tmp_path, output=tmp_path)
    with StageDisplay() as display, pytest.raises(HeldError, match=f"process {holder.pid}"):
        pipeline.run_build(settings, display)


@pytest.mark.parametrize(
    ("name", "reason"), [("", "holds files that no build has made"), ("notes.txt/new", "can't be written")]
)
def test_an_output_that_cannot_be_used_is_refused_before_the_repository_is_read(tmp_path, monkeypatch, name, reason):
    monkeypatch.setattr(pipeline, "read_checkout", lambda *_: pytest.fail("it reads"))
    (tmp_path / "notes.txt").touch()
    settings = BuildSettings(repository=tmp_path, output=tmp_path / name)
    with StageDisplay() as display, pytest.raises(BuildError, match=reason):
        pipeline.run_build(settings, display)


@pytest.mark.skipif(os.name != "posix", reason="flock is POSIX's")
def test_a_disk_without_flock_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", Mock(side_effect=OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))))
    with (
        pytest.raises(LockedError, match=r"can't be locked \(Function not implemented\).* with -o"),
        build_lock(tmp_path),
    ):
        pytest.fail("it holds the folder")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(LOCK, "")], "no marker, no owner"

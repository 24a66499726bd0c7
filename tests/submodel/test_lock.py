"""Two builds at once: the second is told of the first, and a dead one holds nothing."""

import os
import re
import signal
import subprocess
import sys

import pytest

from contract.errors import BuildError
from submodel.build.lock import build_lock

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


def test_one_after_the_other(tmp_path):
    for _ in range(2):
        with build_lock(tmp_path):
            pass

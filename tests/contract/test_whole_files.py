"""A file holds the old text or the whole new one, whatever ends its writer."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from contract.files.whole_files import replace_file, write_json


def test_json_is_old_or_new(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_json(path, {"x": 1})
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert json.loads(path.read_text()) == {"x": 1}
    assert [one.name for one in path.parent.iterdir()] == ["b.json"]


KILLED = """
import os, signal, sys
from pathlib import Path
from contract.files.whole_files import replace_file
with replace_file(Path(sys.argv[1])) as fresh:
    fresh.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_the_next_writer_removes_what_killed_ones_left(tmp_path):
    path = tmp_path / "a.json"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1, "one file at most"
    (tmp_path / ".a.json.partial").write_text("half, by an older version")
    (tmp_path / ".b.a.json.0123456789abcdef.partial").write_text("another file's")
    write_json(path, {"x": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.a.json.0123456789abcdef.partial", "a.json"]


@pytest.mark.parametrize(("number", "is_named"), [(errno.ENOSPC, True), (errno.ECONNRESET, False)])
def test_a_full_disk_names_the_file_that_was_written(tmp_path, number, is_named):
    """Output, cache, state and temporary files may lie on four disks, of which one is full."""
    with pytest.raises(OSError, match="what happened") as caught, replace_file(tmp_path / "a"):
        raise OSError(number, "what happened")
    assert caught.value.filename == (str(tmp_path / "a") if is_named else None)

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from filelock import FileLock

from builder.lock_file import LockError, hold_lock


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_disk_without_locks_is_one_sentence_and_gets_no_marker_that_outlives_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    why = os.strerror(number)
    monkeypatch.setattr("fcntl.flock", Mock(side_effect=OSError(number, why)))
    with pytest.raises(LockError, match=rf"can't be locked \({why}\)"), hold_lock(tmp_path / "lock"):
        pytest.fail("it holds the lock")
    assert (tmp_path / "lock").read_text() == "", "nothing in it names a holder"


def test_a_lock_on_a_full_disk_is_an_error_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileLock, "acquire", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"), hold_lock(tmp_path / "lock"):
        pass

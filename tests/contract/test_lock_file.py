from __future__ import annotations

import errno
from pathlib import Path
from unittest.mock import Mock

import pytest
from filelock import FileLock

from contract.files.lock_file import LockError, hold_lock


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("it knows no flock")]
)
def test_a_lock_that_commands_wait_for_on_a_disk_without_locks_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(FileLock, "acquire", Mock(side_effect=error))
    words = r"can't be locked \((No locks available|it knows no flock)\)"
    with pytest.raises(LockError, match=words), hold_lock(tmp_path / "lock"):
        pytest.fail("it holds the lock")


def test_a_lock_on_a_full_disk_is_an_error_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileLock, "acquire", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"), hold_lock(tmp_path / "lock"):
        pass

"""A clone that brings a state folder along, for an environment that names it: its key and its trust are the stranger's.

Attacked: `contract.files.state_folder`, `contract.files.seals`, `contract.bundle.trusted_builds`.
Each succeeds on 63ec2ff.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

from contract.bundle.trusted_builds import UntrustedError, check_trusted
from contract.files.seals import KEY_BYTES, KEY_FILE, seal_key
from contract.files.state_folder import VARIABLE, StateFolderError

BUILD = "a" * 64
posix = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


def make_state(folder: Path, mode: int) -> Path:
    """A whole state folder that trusts a build, as git and archives write it under a umask."""
    (folder / "trusted").mkdir(parents=True)
    (folder / "trusted" / BUILD).touch()
    (folder / KEY_FILE).write_bytes(b"k" * KEY_BYTES)
    for path, bits in ((folder, mode), (folder / "trusted", mode), (folder / KEY_FILE, mode & 0o666)):
        path.chmod(bits)
    return folder


def is_refused(why: str) -> bool:
    """Whether neither the key nor the list of the state folder is believed, with a sentence that says why."""
    with pytest.raises(StateFolderError, match=why):
        seal_key()
    with pytest.raises(UntrustedError, match=why):
        check_trusted(Path("bundle"), BUILD)
    return True


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_relative_name_is_not_completed_with_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    state = make_state(tmp_path / "clone" / "state", mode)
    monkeypatch.chdir(state.parent)
    monkeypatch.setenv(VARIABLE, "state")
    assert is_refused("no absolute path")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(platformdirs, "user_state_dir", lambda *_, **__: "state")  # as 4.2.0 gives it
    assert is_refused("no absolute path")


def test_a_folder_of_a_work_tree_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = make_state(tmp_path / "clone" / "deep" / "state", 0o700)
    (tmp_path / "clone" / ".git").write_text("gitdir: elsewhere\n")  # as a worktree or submodule has it
    (tmp_path / "link").symlink_to(state.parent, target_is_directory=True)
    for named in (state, tmp_path / "link" / "state"):
        monkeypatch.setenv(VARIABLE, str(named))
        assert is_refused("work tree")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(platformdirs, "user_state_dir", lambda *_, **__: str(state))  # an absolute XDG_STATE_HOME
    assert is_refused("work tree")


@posix
def test_an_open_folder_is_refused_and_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = make_state(tmp_path / "unpacked" / "state", 0o755)
    monkeypatch.setenv(VARIABLE, str(state))
    assert is_refused("chmod 700")
    assert state.stat().st_mode & 0o777 == 0o755


@posix
def test_an_open_key_and_an_open_list_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = make_state(tmp_path / "state", 0o755)
    state.chmod(0o700)
    monkeypatch.setenv(VARIABLE, str(state))
    assert is_refused("(chmod 600 .*seal.key|chmod 700 .*trusted)")
    (state / KEY_FILE).chmod(0o600)
    (state / "trusted").chmod(0o700)
    assert seal_key() == b"k" * KEY_BYTES
    check_trusted(Path("bundle"), BUILD)

import errno
import os
import stat
from unittest.mock import Mock

import pytest

from contract.bundle import trusted_builds
from contract.files.seals import KEY_BYTES, seal_key
from contract.files.state_folder import StateFolderError, state_folder

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")


@posix
def test_it_is_made_for_this_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "deep" / "state"))
    folder = state_folder()
    assert folder == tmp_path / "deep" / "state"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@posix
def test_an_open_one_is_refused_until_it_is_closed(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "my state"))
    (tmp_path / "my state").mkdir(mode=0o755)
    with pytest.raises(StateFolderError, match=f"run `chmod 700 '{tmp_path}/my state'`"):
        state_folder()
    (tmp_path / "my state").chmod(0o700)
    assert state_folder() == tmp_path / "my state"


def test_a_home_folder_under_git_is_the_users_own(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SUBMODEL_STATE_DIR", "~/state")
    assert state_folder() == tmp_path / "state"


@posix
def test_a_link_is_refused(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    with pytest.raises(StateFolderError, match="is not a folder"):
        state_folder()


@posix
def test_another_users_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(StateFolderError, match="belongs to another user"):
        state_folder()


def test_what_is_a_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "state").write_text("")
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    with pytest.raises(StateFolderError, match="state"):
        state_folder()


def test_the_default_lies_in_the_users_home(tmp_path, monkeypatch):
    monkeypatch.delenv("SUBMODEL_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert state_folder().is_relative_to(tmp_path)


def test_a_full_disk_leaves_no_key_that_cannot_be_read(tmp_path, monkeypatch):
    def fill(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fill)
        with pytest.raises(StateFolderError, match=r"No space left on device.*; free space"):
            seal_key()
    assert not list((tmp_path / "state").iterdir())
    assert len(seal_key()) == KEY_BYTES


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.EROFS, "or name another folder with SUBMODEL_STATE_DIR"), (errno.ENOSPC, "free space")],
)
def test_that_no_bundle_can_be_trusted_is_said_before_it_is_built(tmp_path, monkeypatch, number, advice):
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    trusted_builds.check_can_trust()
    assert list(trusted_builds.trusted_folder().iterdir()) == []
    monkeypatch.setattr(os, "open", Mock(side_effect=OSError(number, "it is so")))
    with pytest.raises(StateFolderError, match=rf"trusted can't be written \(it is so\); .*{advice}"):
        trusted_builds.check_can_trust()

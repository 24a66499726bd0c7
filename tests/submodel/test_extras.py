"""The line that adds the build extra: by the installer that made the environment."""

import importlib.util
import os
import shlex
import sys

import pytest
from typer.testing import CliRunner

from contract.errors import SubmodelError
from fleet.app import app
from submodel import extras

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the lines are quoted for cmd there")


@pytest.fixture(autouse=True)
def present(monkeypatch):
    """The modules of extras beside `build` that are installed; none by default."""
    names: set[str] = set()
    find_spec = importlib.util.find_spec
    known = {*extras._EXTRAS.values()}
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *where: find_spec("json") if name in names else None if name in known else find_spec(name, *where),
    )
    return names


def test_each_installer_by_its_mark(tmp_path):
    """The source is a clone: the name on the package index may be a stranger's."""
    where = " in a clone of submodel's repository"
    pip = f"`{shlex.quote(sys.executable)} -m pip install '.[build]'`{where}"
    assert extras.install_advice(prefix=tmp_path) == pip
    (tmp_path / "pipx_metadata.json").touch()
    assert extras.install_advice(prefix=tmp_path) == f"`pipx install --force '.[build]'`{where}"
    (tmp_path / "uv-receipt.toml").touch()
    assert extras.install_advice(prefix=tmp_path) == f"`uv tool install '.[build]' --torch-backend cpu`{where}"


@pytest.mark.parametrize(("missing", "extra"), [(["torch"], "publish"), ([], "build,publish")])
def test_publishing_without_cryptography_ends_in_the_line_that_adds_it(monkeypatch, tmp_path, missing, extra):
    monkeypatch.setattr(extras, "missing_modules", lambda: missing)
    done = CliRunner().invoke(app, ["publish", str(tmp_path), "--to", str(tmp_path), "--key", "key.pem"])
    assert isinstance(done.exception, SubmodelError)
    assert "`submodel-fleet publish` needs cryptography to sign. Add it with: " in str(done.exception)
    assert f".[{extra}]" in str(done.exception)


def test_extras_that_are_present_are_named_again(monkeypatch, present):
    present |= {"cryptography", "ray"}
    monkeypatch.setattr(extras, "missing_modules", lambda: ["torch"])
    assert "'.[build,fleet,publish]'` in a clone" in extras.install_advice()
    assert "'.[fleet,publish,bench]'` in a clone" in extras.install_advice("bench")


def test_a_build_without_the_extra_ends_in_that_line(monkeypatch):
    monkeypatch.setattr(extras, "missing_modules", lambda: ["torch"])
    with pytest.raises(SubmodelError, match=r"`submodel build` needs torch. .* with: .+\[build\]'` in a clone of"):
        extras.prepare_to_build("build")


def test_threads_spin_for_a_while_unless_the_user_says_how_they_wait(monkeypatch):
    environment = {"PATH": "/bin"}
    monkeypatch.setattr(os, "environ", environment)
    extras.limit_spinning()
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert 1_000 <= int(environment["GOMP_SPINCOUNT"]) <= 100_000
    environment.clear()
    environment["OMP_WAIT_POLICY"] = "ACTIVE"
    extras.limit_spinning()
    assert environment == {"OMP_WAIT_POLICY": "ACTIVE"}

"""The line that adds the build extra: by the installer that made the environment, from the same source."""

import importlib.metadata
import importlib.util
import json
import os
import shlex
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from contract.errors import SubmodelError
from fleet.app import app
from submodel import extras

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the lines are quoted for cmd there")


@pytest.fixture
def origin(monkeypatch):
    """A function that says where submodel was installed from: its direct_url.json, None for a package index."""

    def install_from(document):
        text = None if document is None else json.dumps(document)
        installed = SimpleNamespace(read_text=lambda name: text if name == "direct_url.json" else None)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed)

    install_from(None)
    return install_from


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


@pytest.mark.parametrize(
    ("python", "begins"),
    [
        (r"C:\Python\python.exe", r"C:\Python\python.exe -m pip install "),
        (r"C:\Program Files\Python\python.exe", r'py -m pip --python "C:\Program Files\Python\python.exe" install '),
    ],
)
def test_powershell_runs_the_line_wherever_python_is(origin, tmp_path, monkeypatch, python, begins):
    """A name in quotes is no command there."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "executable", python)
    assert extras.install_command(prefix=tmp_path) == f'{begins}".[build]"'


def test_each_installer_by_its_mark(origin, tmp_path, monkeypatch):
    """The source is unknown: the name on the package index may be a stranger's."""

    def line_of(*arguments, **options):
        return extras.install_command(*arguments, **options)

    assert line_of(prefix=tmp_path) == f"{shlex.quote(sys.executable)} -m pip install '.[build]'"
    (tmp_path / "pipx_metadata.json").touch()
    assert line_of(prefix=tmp_path) == "pipx install --force '.[build]'"
    (tmp_path / "pipx_metadata.json").unlink()
    (tmp_path / "uv-receipt.toml").touch()
    assert line_of(prefix=tmp_path) == "uv tool install '.[build]' --torch-backend cpu"
    cached = tmp_path / "archive-v0" / "a1b2"
    assert line_of("eval", cached) == "uvx --torch-backend cpu --from '.[build]' submodel eval"
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name))
    bare = tmp_path / "uv venv"
    assert line_of(prefix=bare) == f"uv pip install --python '{bare}' --torch-backend cpu '.[build]'"


@pytest.mark.parametrize(
    ("document", "source"),
    [
        ({"url": "{file}", "archive_info": {}}, "'submodel[build] @ {file}'"),
        ({"url": "{file}", "dir_info": {}}, "'submodel[build] @ {file}'"),
        ({"url": "{file}", "dir_info": {"editable": True}}, "--editable '{path}[build]'"),
        ({"url": "{file}.gone", "archive_info": {}}, "'.[build]'"),
        ({"url": "{file}.gone", "dir_info": {"editable": True}}, "'.[build]'"),
        (
            {"url": "https://example.org/submodel.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}},
            "'submodel[build] @ git+https://example.org/submodel.git@abc123'",
        ),
    ],
)
def test_the_source_is_the_installed_one_unless_it_is_gone(origin, tmp_path, document, source):
    path = tmp_path / "sub model"
    path.touch()
    places = {"file": path.as_uri(), "path": path}
    origin(document | {"url": document["url"].format_map(places)})
    (tmp_path / "pipx_metadata.json").touch()
    assert extras.install_command(prefix=tmp_path) == f"pipx install --force {source.format_map(places)}"


@pytest.mark.parametrize(("missing", "extra"), [(["torch"], "publish"), ([], "build,publish")])
def test_publishing_without_cryptography_ends_in_the_line_that_adds_it(origin, monkeypatch, tmp_path, missing, extra):
    monkeypatch.setattr(extras, "missing_modules", lambda: missing)
    done = CliRunner().invoke(app, ["publish", str(tmp_path), "--to", str(tmp_path), "--key", "key.pem"])
    assert isinstance(done.exception, SubmodelError)
    assert "`submodel-fleet publish` needs cryptography to sign. Add it with: " in str(done.exception)
    assert f".[{extra}]" in str(done.exception)


def test_extras_that_are_present_are_named_again(origin, monkeypatch, present):
    present |= {"cryptography", "ray"}
    monkeypatch.setattr(extras, "missing_modules", lambda: ["torch"])
    assert extras.install_command().endswith("'.[build,fleet,publish]'")
    assert "'.[fleet,publish,bench]'` in a clone" in extras.install_advice(extra="bench")


def test_a_build_without_the_extra_ends_in_that_line(origin, monkeypatch):
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

"""What a release is made of agrees: versions, the packages of wheel, sdist and image, files that the sdist names."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from hatchling.builders.wheel import WheelBuilder

from submodel import __version__

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RELEASE = ROOT / ".github" / "workflows" / "release.yaml"
TARGETS = PYPROJECT["tool"]["hatch"]["build"]["targets"]
needs_all_files = pytest.mark.skipif(not (ROOT / "Dockerfile").is_file(), reason="an sdist holds the Python part alone")


@needs_all_files
@pytest.mark.parametrize("file", ["vscode-extension/package.json", "devcontainer/submodel/devcontainer-feature.json"])
def test_the_version_is_one(file):
    assert json.loads((ROOT / file).read_text("utf-8"))["version"] == __version__


@needs_all_files
def test_the_sdist_holds_what_the_wheel_is_made_from_and_names_nothing_else():
    named = {entry.removeprefix("/") for entry in TARGETS["sdist"]["include"]}
    assert set(TARGETS["wheel"]["packages"]) <= named
    assert all((ROOT / entry).exists() for entry in named)


def test_the_wheel_holds_the_packages_and_no_tests_benchmarks_or_results():
    files = [PurePosixPath(file.distribution_path) for file in WheelBuilder(str(ROOT)).recurse_included_files()]
    assert {file.parts[0] for file in files} == set(TARGETS["wheel"]["packages"])
    folders = {part for file in files for part in file.parent.parts}
    assert not folders & {"tests", "testbed", "benchmarks", "results", "__pycache__"}


def test_the_lock_has_each_package_that_is_asked_for():
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    named = [re.match(r"[\w.-]+", one)[0] for one in (*project["dependencies"], *extras["build"], *extras["dev"])]
    lock = (ROOT / "requirements-dev.lock").read_text("utf-8")
    locked = {_normal(name) for name in re.findall(r"(?m)^([\w.-]+)==", lock)}
    assert {_normal(name) for name in named} - locked <= {"pip"}  # which `pip freeze` leaves out


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@needs_all_files
def test_the_image_of_builds_has_what_a_company_s_commands_need():
    [extras] = re.findall(r"(?m)^ARG EXTRAS=(\S+)$", (ROOT / "Dockerfile").read_text("utf-8"))
    known = PYPROJECT["project"]["optional-dependencies"]
    assert {"build", "fleet", "publish"} == set(extras.split(",")) <= set(known)


@needs_all_files
def test_the_versions_of_python_are_the_same_everywhere():
    known = [one.rpartition(" ")[2] for one in PYPROJECT["project"]["classifiers"] if "Python :: 3." in one]
    assert PYPROJECT["project"]["requires-python"] == f">={known[0]}"
    pages = ("README.md", "CONTRIBUTING.md", "docs/getting-started.md")
    for file in (*pages, "Makefile", "devcontainer/submodel/install.sh"):
        assert f"Python {known[0]} to {known[-1]}" in (ROOT / file).read_text("utf-8"), file
    for workflow in ("ci.yaml", "release.yaml"):
        text = (ROOT / ".github" / "workflows" / workflow).read_text("utf-8")
        assert re.findall(r"python: (\[.*\])", text) == [json.dumps(known)]


@needs_all_files
def test_the_image_is_made_from_each_package():
    left_out = re.findall(r"(?m)^/(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"))
    assert "tests" in left_out
    assert not {*TARGETS["wheel"]["packages"], "pyproject.toml", "README.md", "LICENSE"} & set(left_out)


@needs_all_files
def test_the_feature_reads_each_of_its_options():
    folder = ROOT / "devcontainer" / "submodel"
    options = json.loads((folder / "devcontainer-feature.json").read_text("utf-8"))["options"]
    script = (folder / "install.sh").read_text("utf-8")
    assert all(f"${{{name.upper()}" in script for name in options)


@needs_all_files
@pytest.mark.skipif(os.name == "nt", reason="the feature's script runs in a container of Linux")
@pytest.mark.parametrize(
    ("source", "asked"),
    [
        (None, None),
        ("", None),
        ("latest", None),
        ("0.1.0", None),
        ("clone", "./clone[build]"),
        ("submodel-0.1.0-py3-none-any.whl", "./submodel-0.1.0-py3-none-any.whl[build]"),
        ("https://example.org/submodel.whl", "submodel[build] @ https://example.org/submodel.whl"),
    ],
)
def test_the_feature_installs_nothing_by_name(source, asked, tmp_path):
    """On the index the name may be a stranger's."""
    (tmp_path / "clone").mkdir()
    (tmp_path / "submodel-0.1.0-py3-none-any.whl").touch()
    python = tmp_path / "python3"  # which installs nothing
    python.write_text(f'#!/bin/sh\n[ "$2" = venv ] && exit 9\necho "$@" >>{tmp_path}/asked\n')
    python.chmod(0o755)
    script = (ROOT / "devcontainer" / "submodel" / "install.sh").read_text("utf-8")
    script = script.replace('"$python" -m venv "$folder"', "true").replace('"$folder/bin/python"', str(python))
    script = script.partition("\nln ")[0]
    options = {"BUILD": "true"} if source is None else {"BUILD": "true", "SOURCE": source}
    command = ["/bin/sh", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": str(tmp_path), **options}, capture_output=True, text=True)
    if asked is None:
        assert (done.returncode, done.stderr[:27]) == (1, "submodel was not installed:")
        assert not (tmp_path / "asked").exists()
    else:
        assert (tmp_path / "asked").read_text().splitlines()[-1].endswith(f" {asked}")


@needs_all_files
def test_a_release_stops_at_each_place_that_says_there_is_none():
    pattern = re.compile(re.search(r"pattern='(.+)'", RELEASE.read_text("utf-8"))[1], re.IGNORECASE)
    step = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("3. Before the first")[2].partition("4. ")[0]
    places = [path for name in re.findall(r"`([^`]+\.\w+)`", step) if (path := ROOT / name).exists()]
    assert len(places) == 6 or not places
    found = [path for path in places if pattern.search(path.read_text("utf-8"))]
    assert found in ([], places), "all of them, or after the release none"

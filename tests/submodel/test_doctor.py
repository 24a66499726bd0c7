"""What `submodel doctor` finds on machines that lack one thing or another."""

import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from contract import processor
from contract.bundle import trusted_builds as trust
from contract.bundle.manifest import read_manifest, write_manifest
from contract.repository.git import GitError
from contract.repository.texts import ReadingSettings
from lsp_server.pulled_builds import PulledFrom
from submodel import health_checks as doctor
from submodel.commands.doctor import doctor as command
from testbed.git import git
from testbed.python_files import write_python
from tests.submodel.test_memory_and_disk import looked

SERVE_ONLY = """
import sys
from submodel.extras import _MODULES
sys.modules.update(dict.fromkeys(_MODULES))  # importing one raises, and looking for one finds none
from submodel.app import main
sys.argv = ["submodel", "doctor", "--json"]
main()
"""


@pytest.fixture
def workspace(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle.folder, tmp_path / ".submodel" / "bundle")
    return tmp_path


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty PATH and home folder; programs are put there with `add`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    def add(name):
        (folder / name).touch(mode=0o755)

    return SimpleNamespace(add=add, home=tmp_path)


def run_doctor(*arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(
        app, [str(one) for one in arguments], env={"COLUMNS": "80", "TERM": "dumb"}, catch_exceptions=False
    )


@pytest.mark.slow
def test_it_works_where_only_serving_is_installed(tmp_path):
    done = subprocess.run([sys.executable, "-P", "-c", SERVE_ONLY], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert document["ok"] is True
    assert checks["ONNX Runtime"]["status"] == "ok"
    assert checks["build extra"]["status"] == checks["base model"]["status"] == "warn"
    assert "torch" in checks["build extra"]["found"]
    assert "[build" in checks["build extra"]["advice"]


@pytest.mark.slow
def test_the_whole_table_cuts_nothing_and_obeys_no_stranger(workspace, monkeypatch):
    bundle = workspace / ".submodel" / "bundle"
    write_manifest(bundle, {**read_manifest(bundle), "base": {"name": "qwen\x1b[2J[red]"}})
    checks = doctor.run_checks(workspace, is_offline=True)  # once: free memory changes
    monkeypatch.setattr(doctor, "run_checks", lambda *_, **__: checks)
    result = run_doctor(workspace, "--offline")
    assert result.exit_code == 0, result.output
    rows = [line.split("│")[1:4] for line in result.stdout.splitlines() if line.startswith("│")]
    names, _, found = ("".join("".join(column).split()) for column in zip(*rows, strict=True))
    assert names == "".join(check.name for check in checks).replace(" ", "")
    assert "…" not in result.stdout
    assert "qwen?[2J[red]" in found
    assert all(check.advice.replace(" ", "") in found for check in checks)
    assert all(map(looked, checks))


def test_a_bundle_that_a_server_would_load(workspace):
    (workspace / "src").mkdir()
    check = doctor.check_bundle(workspace / "src")
    assert looked(check) == "ok"
    assert str(workspace) in check.found


def test_what_a_build_would_read_is_told(tmp_path):
    write_python(tmp_path, range(12))
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "a.js").write_text("x = 1\n")
    (tmp_path / "large.py").write_text("x = 1\n" * 50_000)
    check = doctor.check_repository(tmp_path)
    assert looked(check) == "ok"
    assert check.found.startswith("a build reads about 12 files with 0.0 MB of code; left out: 1 ")
    assert "1 vendored" in check.found
    assert "1 too large" in check.found


def test_a_repository_above_the_limits_is_a_warning(tmp_path, monkeypatch):
    write_python(tmp_path, range(12))
    few = ReadingSettings(max_files=10)
    monkeypatch.setattr(doctor, "ReadingSettings", lambda **_: few)
    check = doctor.check_repository(tmp_path)
    assert looked(check) == "warn"
    assert "left out: 2 over the limit of files" in check.found
    assert "10 files, drawn from all folders" in check.advice


def test_a_repository_that_git_does_not_list_is_a_warning(tmp_path, monkeypatch):
    write_python(tmp_path, range(12))
    git(tmp_path, "init")
    assert looked(doctor.check_repository(tmp_path)) == "ok"

    def fail(*_: object) -> bytes:
        raise GitError("fatal: detected dubious ownership in repository")

    monkeypatch.setattr("contract.repository.listing.run_git", fail)
    check = doctor.check_repository(tmp_path)
    assert looked(check) == "warn"
    assert "git does not list them" in check.advice
    assert "safe.directory" in check.advice


def test_a_folder_that_no_build_would_read_is_a_warning(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    check = doctor.check_repository(tmp_path)
    assert looked(check) == "warn"
    assert "home folder" in check.advice


def test_a_pulled_bundle_is_pulled_again(workspace, monkeypatch):
    pulled = PulledFrom(address="https://models/", name=None)
    monkeypatch.setattr(doctor, "pulled_from", lambda build: pulled)
    check = doctor.check_bundle(workspace)
    assert looked(check) == "ok"
    assert "submodel pull https://models/" in check.found
    assert "submodel build" not in check.found


def test_no_bundle_is_no_failure(tmp_path):
    check = doctor.check_bundle(tmp_path)
    assert looked(check) == "warn"
    assert "submodel build" in check.advice


def test_a_stranger_s_bundle_is_reported_and_no_failure(workspace, monkeypatch):
    def refuse(bundle, build):
        raise trust.UntrustedError("run `submodel trust` to use it.", build)

    monkeypatch.setattr(doctor, "check_trusted", refuse)
    monkeypatch.setattr(doctor, "verify_bundle", lambda bundle: pytest.fail("it is hashed"))
    check = doctor.check_bundle(workspace)
    assert looked(check) == "warn"
    assert "submodel trust" in check.advice


@pytest.mark.slow
def test_a_changed_byte_of_the_bundle_fails(workspace):
    model = workspace / ".submodel" / "bundle" / "onnx" / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    result = run_doctor(workspace, "--offline", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (1, False)
    (failed,) = (check for check in document["checks"] if check["status"] == "fail")
    assert failed["name"] == "bundle"
    assert "model.onnx" in failed["advice"]


@pytest.mark.parametrize(
    ("system", "machine", "flags", "status", "reported"),
    [
        ("Linux", "x86_64", {"avx2", "avx512_vnni", "amx_int8"}, "ok", "AMX"),
        ("Linux", "x86_64", {"avx2", "avx_vnni"}, "ok", "AVX VNNI"),
        ("Linux", "x86_64", {"avx2", "avx512f"}, "warn", "no VNNI"),
        ("Linux", "x86_64", {"sse4_2"}, "warn", "x86_64"),
        ("Windows", "AMD64", set(), "warn", "doesn't tell its vector units"),
        ("Windows", "AMD64", {"avx2"}, "warn", "no AVX-512 VNNI, and the system doesn't tell"),
        ("Windows", "AMD64", {"avx2", "avx512_vnni"}, "ok", "AVX-512 VNNI"),
        ("Darwin", "arm64", set(), "ok", "arm64"),
    ],
)
def test_processors(monkeypatch, system, machine, flags, status, reported):
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(doctor, "default_threads", lambda: 2)
    for module in (processor, doctor):
        monkeypatch.setattr(module, "processor_flags", lambda *_: flags)
    check = doctor.check_processor()
    assert looked(check) == status
    assert reported in check.found


def test_a_state_folder_that_is_a_file_fails(tmp_path, monkeypatch):
    assert looked(doctor.check_state_folder()) == "ok"
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    check = doctor.check_state_folder()
    assert looked(check) == "fail"
    assert "SUBMODEL_STATE_DIR" in check.advice


def test_a_runtime_that_can_not_be_loaded_fails(monkeypatch):
    assert looked(doctor.check_runtime()) == "ok"
    monkeypatch.setitem(sys.modules, "lsp_server.decoding.runtime", None)
    assert looked(doctor.check_runtime()) == "fail"


def test_two_runtimes_at_once_are_reported(monkeypatch):
    monkeypatch.setattr(doctor, "installed_versions", lambda names: {"onnxruntime": "1", "onnxruntime-gpu": "1"})
    assert looked(doctor.check_runtime()) == "warn"


def test_git_is_looked_for_in_path(path):
    assert looked(doctor.check_git()) == "warn"
    path.add("git")
    assert looked(doctor.check_git()) == "ok"


@pytest.mark.parametrize(
    ("cached", "hub", "index", "status", "reported"),
    [
        (True, None, None, "ok", "on this disk"),
        (False, True, None, "ok", "model hub"),
        (False, False, True, "ok", "package index"),
        (False, False, False, "warn", "neither"),
    ],
)
def test_base_models(monkeypatch, cached, hub, index, status, reported):
    rows = [{"name": "smollm2-135m", "cached": False, "auto": 2}, {"name": "qwen2.5-coder-0.5b", "auto": 1}]
    rows[1]["cached"] = cached
    monkeypatch.setattr(doctor, "missing_modules", list)
    monkeypatch.setattr(doctor, "_known_bases", lambda: rows)
    monkeypatch.setattr(doctor, "_hub_has", {"Qwen/Qwen2.5-Coder-0.5B": hub}.__getitem__)
    monkeypatch.setattr(doctor, "_index_has", {"qwen2.5-coder-0.5b": index}.__getitem__)
    check = doctor.check_base(is_offline=False)
    assert looked(check) == status
    assert reported in check.found
    if not cached:
        for asks in ("_hub_has", "_index_has"):
            monkeypatch.setattr(doctor, asks, None)  # calling it is an error
        check = doctor.check_base(is_offline=True)
        assert looked(check) == "warn"
        assert "--offline" in check.found


class Hub(http.server.BaseHTTPRequestHandler):
    """Has one model."""

    def do_HEAD(self):
        self.send_response(200 if self.path == "/api/models/owner/there" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_hub_that_answers_refuses_or_keeps_silent(monkeypatch):
    for variable in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(doctor, "PATIENCE_S", 60.0)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    assert doctor._hub_has("owner/there")
    assert not doctor._hub_has("owner/elsewhere")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not doctor._hub_has("owner/there")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    server.shutdown()
    server.server_close()
    assert not doctor._hub_has("owner/there")
    monkeypatch.setattr(doctor, "PATIENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert not doctor._hub_has("owner/there")
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert not doctor._hub_has("owner/there")

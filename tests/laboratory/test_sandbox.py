"""Programs that misbehave, each in its own way, with and without the kernel's namespaces."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
import venv
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import EvaluationError
from laboratory.programs import sandbox
from laboratory.programs.sandbox import Limits, run_python, run_sandboxed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="there is no sandbox on Windows"),
]  # programs in the sandbox
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="macOS can't find or limit these")

QUICK = Limits(wall_s=60, cpu_s=30, memory_bytes=256 << 20, processes=16, file_bytes=1 << 20, tail_bytes=1000)
UNSAFE = Limits(wall_s=60, needs_namespaces=False)  # on a busy machine Python starts late
HAS_FILTER = sys.platform == "linux" and os.uname().machine in ("x86_64", "aarch64")
MARKED_CHILD = """
import os, subprocess, sys, time
if len(sys.argv) == 1:
    subprocess.run([sys.executable, __file__, "{marker}", "between"])
    while not os.path.exists("orphan"):
        time.sleep(0.01)
    print("The orphan runs.", flush=True)
elif sys.argv[-1] == "between":  # ends at once, so that its child is an orphan in a session of its own
    subprocess.Popen([sys.executable, __file__, "{marker}"], start_new_session=True,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
else:
    open("orphan", "w").close()
    time.sleep(60)
"""


@pytest.fixture(params=[True, False], ids=["namespaces", "fallback"])
def run(request, grants_namespaces):
    """Run a Python text either way; skips where the kernel grants no namespaces."""
    if request.param and not grants_namespaces:
        pytest.skip("this system grants no user namespaces")

    def run_text(text, limits=QUICK, **options):
        limits = replace(limits, needs_namespaces=request.param)
        return run_sandboxed(
            [sys.executable, "program.py"], limits, texts={"program.py": text}, isolate=request.param, **options
        )

    run_text.isolates = request.param  # type: ignore[attr-defined]
    return run_text


def processes_named(marker):
    """Processes of the whole machine with the marker among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def wait_until(condition):
    deadline = time.monotonic() + 60  # on a machine with other work
    while not (is_met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_met  # asked again it may be over: a process that is forked has the arguments of two for a moment


def run_until_it_speaks(run, text):
    """Run a text that meets the wall time; once more with more of it if a busy machine started Python too late."""
    result = run(text, Limits(wall_s=10))
    return result if result.stdout else run(text, Limits(wall_s=60))


def test_a_good_program_passes_and_its_output_is_kept(run):
    result = run("import sys; print('out'); print('err', file=sys.stderr)")
    assert (result.outcome, result.code, result.stdout, result.stderr) == ("passed", 0, "out\n", "err\n")
    assert result.is_passed


def test_what_held_it_is_reported(run):
    result = run("")
    if run.isolates:
        assert result.network == "namespace"
    else:
        assert result.network == ("seccomp" if HAS_FILTER else "python")


def test_an_error_fails(run):
    result = run("raise ValueError('no')")
    assert (result.outcome, result.code) == ("failed", 1)
    assert result.stderr.endswith("ValueError: no\n")
    assert run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").code == -signal.SIGSEGV


def test_a_sleeper_meets_the_wall_time(run):
    result = run_until_it_speaks(run, "print('begun', flush=True)\nimport time; time.sleep(600)")
    assert (result.outcome, result.code, result.stdout) == ("timed out", None, "begun\n")


def test_an_endless_loop_meets_the_processor_time(run):
    result = run("while True: pass", Limits(wall_s=60, cpu_s=1))
    assert (result.outcome, result.code) == ("timed out", -signal.SIGXCPU)


def test_ignoring_the_signal_does_not_help(run):
    text = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    result = run(text, Limits(wall_s=60, cpu_s=1))
    assert (result.outcome, result.code) == ("timed out", -signal.SIGKILL)


@on_linux
def test_a_memory_hog_is_stopped(run):
    assert run("x = bytearray(1 << 30)").outcome == "out of memory"
    assert run("x = bytearray(100 << 20)").is_passed


@on_linux
def test_a_fork_bomb_is_stopped(run):
    # It does not double, and it ends: should the limit be broken, the machine that runs the tests is not.
    result = run(
        "import os, time\nfor _ in range(60):\n    if os.fork() == 0: time.sleep(20); break\nelse: time.sleep(20)",
        QUICK,
    )
    assert result.outcome in ("too many processes", "failed")  # failed: the kernel's own limit, where not root


@on_linux
def test_orphans_in_their_own_session_are_gone(run):
    marker = uuid.uuid4().hex
    result = run(MARKED_CHILD.format(marker=marker))
    assert (result.outcome, result.stdout) == ("passed", "The orphan runs.\n")
    assert processes_named(marker) == []


@on_linux
def test_orphans_are_gone_after_a_timeout(run):
    marker = uuid.uuid4().hex
    text = MARKED_CHILD.format(marker=marker) + "if len(sys.argv) == 1: time.sleep(600)\n"
    result = run_until_it_speaks(run, text)
    assert (result.outcome, result.stdout) == ("timed out", "The orphan runs.\n")
    assert processes_named(marker) == []


def test_other_processes_of_the_user_live_on(run):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        assert run(MARKED_CHILD.format(marker="bystander")).stdout == "The orphan runs.\n"
        assert bystander.poll() is None
        bystander.kill()


@on_linux
@pytest.mark.parametrize("isolate", [True, False])
def test_the_program_ends_with_a_killed_builder(isolate, tmp_path):
    marker = uuid.uuid4().hex
    command = [sys.executable, "-c", "import time; time.sleep(60)", marker]
    call = f"run_sandboxed({command}, Limits(wall_s=60, needs_namespaces=False), isolate={isolate})"
    source = f"from laboratory.programs.sandbox import Limits, run_sandboxed\n{call}"
    # Passed on standard input: its command line must not hold the marker.
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # whoever is killed so leaves a folder
    with subprocess.Popen([sys.executable, "-"], stdin=subprocess.PIPE, text=True, env=environment) as builder:
        builder.stdin.write(source)
        builder.stdin.close()
        assert wait_until(lambda: len(processes_named(marker)) >= 2)  # the launcher and the program
        builder.kill()
    assert wait_until(lambda: processes_named(marker) == [])


def test_a_huge_file_is_refused(run):
    result = run("open('big', 'wb').write(bytes(2 << 20))")
    assert result.outcome == "failed"
    assert "File too large" in result.stderr
    assert run("open('small', 'wb').write(bytes(1 << 19))").is_passed


def test_open_files_are_limited(run):
    result = run("files = [open(__file__) for _ in range(300)]")
    assert "Too many open files" in result.stderr


def test_no_network(run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run(f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=3)")
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
        socket.create_connection(("127.0.0.1", port)).close()  # there was somebody to speak to
        server.accept()[0].close()
    assert result.outcome == "failed"
    refusal = "ConnectionRefusedError" if run.isolates else "PermissionError: there is no network in the sandbox"
    assert refusal in result.stderr


def test_a_program_may_speak_to_itself(run):
    assert run("import asyncio; asyncio.run(asyncio.sleep(0))").is_passed
    if run.isolates:
        own = "import socket\ns = socket.create_server(('127.0.0.1', 0))\nsocket.create_connection(s.getsockname())"
        assert run(own).is_passed


def test_without_filter_and_hook_nothing_is_claimed():
    if HAS_FILTER:
        pytest.skip("this system's filter holds other programs as well")
    assert run_sandboxed([sys.executable, "-I", "-c", ""], UNSAFE, isolate=False).network == "none"
    assert run_sandboxed(["true"], UNSAFE, isolate=False).network == "none"
    assert run_sandboxed([sys.executable, "-c", "-I"], UNSAFE, isolate=False).network == "python"


def test_secrets_of_the_environment_are_invisible(run, monkeypatch):
    monkeypatch.setenv("API_TOKEN", "sesame")
    monkeypatch.setenv("https_proxy", "http://user:sesame@proxy")
    result = run("import os; print(sorted(os.environ), 'sesame' in str(os.environ))")
    assert result.stdout.endswith(" False\n")
    assert "HOME" in result.stdout
    assert "proxy" not in result.stdout.lower()


@on_linux
def test_other_processes_are_invisible_in_a_namespace(run):
    if not run.isolates:
        pytest.skip("only a namespace hides them")
    result = run("import os; print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()))")
    assert result.stdout == "[1, 2]\n"


def test_files_elsewhere_are_safe_in_a_namespace(run, tmp_path):
    if not run.isolates:
        pytest.skip("only a namespace protects them")
    (tmp_path / "precious").write_text("")
    result = run(f"import os; os.remove({str(tmp_path / 'precious')!r})", python_path=[tmp_path])
    assert "Read-only file system" in result.stderr
    assert "No such file" in run(f"open({str(tmp_path / 'precious')!r})").stderr  # nobody said that it is needed
    assert (tmp_path / "precious").exists()


def test_a_program_finds_an_ordinary_system(run):
    uses = "import multiprocessing, os\nos.openpty()\nmultiprocessing.Lock()\nopen('/dev/urandom', 'rb').read(1)\n"
    if run.isolates:  # without, these would be the user's own
        uses += "for path in '/tmp/x', '/dev/shm/x', '/dev/null': open(path, 'w').write('x')"
    assert run(uses).stderr == ""


def test_an_interpreter_among_temporary_files_is_found(run, tmp_path):
    venv.create(tmp_path / "environment", with_pip=False)
    python = tmp_path / "environment" / "bin" / "python"
    limits = replace(QUICK, needs_namespaces=run.isolates)
    result = run_sandboxed([str(python), "-c", "import sys; print(sys.prefix)"], limits, isolate=run.isolates)
    assert result.stdout == f"{python.parent.parent}\n"


@pytest.mark.parametrize("symlinks", [True, False], ids=["linked", "copied"])
def test_an_interpreter_behind_links_is_found(run, tmp_path, symlinks):
    """As uv links its Pythons by their minor version, and pipx its programs."""
    venv.EnvBuilder(symlinks=symlinks).create(tmp_path / "3.11.7")
    (tmp_path / "3.11").symlink_to("3.11.7")
    (tmp_path / "tools").mkdir()
    python = tmp_path / "tools" / "python"
    python.symlink_to("../3.11/bin/python")
    limits = replace(QUICK, needs_namespaces=run.isolates)
    result = run_sandboxed(
        [str(python), "-c", "import json, sys; print(sys.base_prefix)"], limits, isolate=run.isolates
    )
    assert result.stderr == ""
    assert Path(result.stdout.strip()).resolve() == Path(sys.base_prefix).resolve()


@pytest.mark.parametrize("folder", ["bin", ".local/bin", "."])
def test_a_program_of_the_home_folder_brings_nothing_else_of_it(run, tmp_path, monkeypatch, folder):
    if not run.isolates:
        pytest.skip("only a namespace hides it")
    monkeypatch.setenv("HOME", str(tmp_path))
    secret = tmp_path / folder / ".." / "share" / "keyrings" if folder != "." else tmp_path / "share"
    secret.mkdir(parents=True)
    program = tmp_path / folder / "program"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho run\nls {secret}\n")
    program.chmod(0o755)
    if folder == ".":
        with pytest.raises(EvaluationError, match="No such file"):
            run_sandboxed([str(program)])
    else:
        result = run_sandboxed([str(program)])
        assert result.stdout == "run\n"
        assert "No such file" in result.stderr


def test_the_folder_is_fresh_writable_and_removed(run):
    result = run(
        "import os, tempfile\nprint(os.getcwd())\nprint(os.listdir())\nopen('x', 'w').close()\n"
        "assert tempfile.gettempdir() == os.path.expanduser('~') == os.getcwd()"
    )
    assert result.is_passed
    folder, listing = result.stdout.splitlines()
    assert listing == "['program.py']"
    assert not Path(folder).parent.exists()


def test_a_given_folder_stays(tmp_path):
    result = run_sandboxed(
        [sys.executable, "-c", "import os; open('x', 'w').write(os.path.expanduser('~'))"], UNSAFE, folder=tmp_path
    )
    assert result.is_passed
    assert (tmp_path / "x").read_text() not in ("", str(tmp_path))


def test_a_program_of_the_folder_is_that_of_the_copy(tmp_path, monkeypatch):
    copy, own = tmp_path / "copy", tmp_path / "own"
    for folder in (copy, own):
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "tests.sh").write_text(f"#!/bin/sh\necho {folder.name}\n")
        (folder / "bin" / "tests.sh").chmod(0o755)
    shutil.copy(own / "bin" / "tests.sh", own / "bin" / "left-out.sh")
    monkeypatch.chdir(own)
    assert run_sandboxed(["bin/tests.sh"], UNSAFE, folder=copy).stdout == "copy\n"
    assert run_sandboxed(["./bin/left-out.sh"], UNSAFE, folder=copy).stdout == "own\n"


@on_linux
def test_a_program_that_ends_its_watcher_is_an_outcome():
    text = "import os, signal\nprint('begun', flush=True)\nos.kill(os.getppid(), signal.SIGKILL)"
    limits = replace(QUICK, needs_namespaces=False)
    run = run_sandboxed([sys.executable, "program.py"], limits, texts={"program.py": text}, isolate=False)
    assert (run.outcome, run.code, run.stdout, run.is_passed) == ("no report", None, "begun\n", False)


def test_a_late_watcher_is_an_outcome(monkeypatch):
    monkeypatch.setattr("laboratory.programs.sandbox.GRACE_S", -4.0)  # a second from the start
    limits = Limits(wall_s=5, needs_namespaces=False)
    assert run_python("import time; time.sleep(3)", limits).outcome == "no report"


@on_linux
def test_processes_that_outlive_the_launcher_are_an_outcome(tmp_path, monkeypatch):
    marker = uuid.uuid4().hex
    (tmp_path / "launcher.py").write_text(sandbox.LAUNCHER.read_text().replace("END_S = 5.0", "END_S = 0.0"))
    monkeypatch.setattr(sandbox, "LAUNCHER", tmp_path / "launcher.py")
    texts = {"program.py": MARKED_CHILD.format(marker=marker)}
    for text, outcome in ((texts["program.py"], "left processes"), ("", "passed")):
        run = run_sandboxed([sys.executable, "program.py"], UNSAFE, texts={"program.py": text}, isolate=False)
        assert run.outcome == outcome
    for process in processes_named(marker):
        with suppress(ProcessLookupError):  # it has ended since
            os.kill(int(process), signal.SIGKILL)


def test_modules_are_found_where_they_are_said_to_be(run, tmp_path):
    (tmp_path / "known.py").write_text("value = 7")
    assert run("import known; print(known.value)", python_path=[tmp_path]).stdout == "7\n"
    assert run("import known").outcome == "failed"


def test_a_flood_of_output_is_cut(run):
    result = run("for i in range(200_000): print('line', i)\nprint('last')")
    assert result.is_passed
    assert len(result.stdout) == QUICK.tail_bytes
    assert result.stdout.endswith("199999\nlast\n")


def test_an_orphan_that_holds_the_output_is_not_waited_for(run):
    text = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\nprint(1)"
    result = run(text, replace(QUICK, wall_s=300))
    assert (result.outcome, result.stdout) == ("passed", "1\n")
    assert result.seconds < 200


def test_standard_input_is_at_its_end(run):
    assert run("import sys; print(repr(sys.stdin.read()))").stdout == "''\n"


def test_the_outcome_cant_be_forged_by_descriptor(run):
    forged = "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'{}')\n    except OSError: pass\nos._exit(3)"
    assert run(forged).code == 3


def test_what_cant_be_run_is_reported(tmp_path, monkeypatch):
    with pytest.raises(EvaluationError, match="no program nowhere"):
        run_sandboxed(["nowhere"])
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    with pytest.raises(EvaluationError, match="Exec format error"):
        run_sandboxed([str(broken)], UNSAFE, folder=tmp_path)
    with monkeypatch.context() as patch, pytest.raises(EvaluationError, match="WSL"):
        patch.setattr(os, "name", "nt")
        run_python("")


def test_limits_are_checked():
    with pytest.raises(EvaluationError, match="above zero"):
        Limits(processes=0)

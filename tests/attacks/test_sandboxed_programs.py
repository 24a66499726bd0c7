"""A repository's tests, or a program that a model wrote, must not reach out of the sandbox.

Each attack succeeds on 104ea66, but for two that namespaces stopped there already: the abstract socket, and the outcome
told from within them. Those below the line succeed on 63ec2ff as well.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import EvaluationError
from laboratory.programs.functional import FunctionalSettings, copied_repository
from laboratory.programs.sandbox import Limits, _readable_folders, run_sandboxed
from submodel.evaluation.evaluation_run import EvalSettings, run_evaluation

pytestmark = [
    pytest.mark.slow,  # programs in the sandbox
    pytest.mark.skipif(sys.platform != "linux", reason="these attacks are on Linux' sandbox"),
]

SAFE = Limits(wall_s=60)  # on a busy machine Python starts late
UNSAFE = replace(SAFE, needs_namespaces=False)
SUMS = "def add(first, second):\n    total = first\n    return total + second\n"

# What the launcher would tell of a good program, into every descriptor of those who wait for the outcome.
FORGE = """
import ctypes, json, os
forged = {"ended_by": "itself", "code": 0, "cpu_s": 0.0, "network": "none"}
reached = []
parent, last = os.getppid(), WAITS_FOR_IT
while True:
    try:
        for name in os.listdir(f"/proc/{parent}/fd"):
            try:
                if os.readlink(f"/proc/{parent}/fd/{name}").startswith("pipe:"):
                    end = os.open(f"/proc/{parent}/fd/{name}", os.O_WRONLY | os.O_NONBLOCK)
                    os.write(end, json.dumps(forged).encode() + b"\\n")
                    reached.append(f"descriptor {name} of {parent}")
            except OSError:
                pass
    except OSError:
        pass
    try:
        os.close(os.open(f"/proc/{parent}/mem", os.O_RDWR))
        reached.append(f"memory of {parent}")
    except OSError:
        pass
    if parent == last:
        break
    parent = int(open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()[1])
print(reached, flush=True)
os._exit(3)
"""


@pytest.fixture
def in_namespaces(grants_namespaces):
    """Run a Python text as in the safe mode; skips where the kernel grants no namespaces."""
    if not grants_namespaces:
        pytest.skip("this system grants no user namespaces, so that programs are refused")
    command = [sys.executable, "program.py"]
    return lambda text, **options: run_sandboxed(command, SAFE, texts={"program.py": text}, **options)


@pytest.fixture
def victim(tmp_path):
    """A file of the user's."""
    path = tmp_path / "home" / "shelf.py"
    path.parent.mkdir()
    path.write_text("precious")
    path.chmod(0o640)
    return path


@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_nothing_is_written_through_a_link_that_tests_left(tmp_path, victim, swapped):
    repository = tmp_path / "repository"
    (repository / "sums").mkdir(parents=True)
    (repository / "sums" / "shelf.py").write_text(SUMS)
    old, new = ("sums/shelf.py", victim) if swapped == "file" else ("sums", victim.parent)
    swap = (
        "import os, sys\nif 'NotImplementedError' in open('sums/shelf.py').read():\n"
        f"    os.rename({old!r}, 'moved')\n    os.symlink({str(new)!r}, {old!r})\n    sys.exit(1)"
    )
    settings = FunctionalSettings(test_command=(sys.executable, "-c", swap), limits=UNSAFE)
    with copied_repository(repository, settings) as copy:
        (add,) = copy.find_functions(["sums/shelf.py"])
        assert not copy.passes(add, "raise NotImplementedError")
        assert copy.passes(add, "return 5")
    assert victim.read_text() == "precious"


def test_a_file_of_terabytes_is_not_copied(tmp_path, monkeypatch):
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 1 << 42)  # sparse
    monkeypatch.setattr("shutil.copytree", lambda *_, **__: pytest.fail("it is copied"))
    with pytest.raises(EvaluationError, match="too large to be copied"), copied_repository(tmp_path):
        pass


def test_no_mode_is_changed_through_a_link(victim):
    """Python's own way to remove a temporary folder did so, before 3.11.8 and 3.12.1 (CVE-2023-6597)."""
    if os.geteuid() == 0:
        pytest.skip("root removes links from any folder, and changes no mode to do so")
    leave = f"import os; os.mkdir('x'); os.symlink({str(victim)!r}, 'x/link'); os.chmod('x', 0o500)"
    run_sandboxed([sys.executable, "-c", leave], UNSAFE)
    assert victim.stat().st_mode & 0o777 == 0o640


def test_files_of_the_root_itself_are_not_read(in_namespaces):
    """Succeeds on 40147da0: only the root's folders were covered."""
    with os.scandir("/") as entries:
        files = [one.path for one in entries if one.is_file(follow_symlinks=False) and os.access(one.path, os.R_OK)]
    if not files:
        pytest.skip("no file lies in the root of this system")
    read = (
        "def read(path):\n    try:\n        return open(path, 'rb').read()\n    except OSError:\n        return b''\n"
        f"print([path for path in {files!r} if read(path)])"
    )
    assert in_namespaces(read).stdout.strip() == "[]"


@pytest.mark.parametrize("isolate", [True, False], ids=["namespaces", "without"])
def test_a_program_cant_tell_its_own_outcome(grants_namespaces, isolate):
    if isolate and not grants_namespaces:
        pytest.skip("without namespaces it would see the processes of these tests")
    text = FORGE.replace("WAITS_FOR_IT", str(os.getpid() if not isolate else 1))
    run = run_sandboxed([sys.executable, "program.py"], UNSAFE, texts={"program.py": text}, isolate=isolate)
    assert (run.outcome, run.code, run.stdout) == ("failed", 3, "[]\n")


def test_a_program_cant_end_what_watches_it(in_namespaces):
    """One that could would end the whole evaluation."""
    run = in_namespaces("import os, signal\nfor number in range(1, 65): os.kill(1, number)\nos._exit(3)")
    assert (run.outcome, run.code) == ("failed", 3)


def test_the_hosts_sockets_cant_be_spoken_to(in_namespaces, tmp_path, monkeypatch):
    with (
        tempfile.TemporaryDirectory(dir=Path.home()) as runtime,
        tempfile.TemporaryDirectory(dir=Path.home()) as elsewhere,
        socket.socket(socket.AF_UNIX) as temporary_one,
        socket.socket(socket.AF_UNIX) as runtime_one,
        socket.socket(socket.AF_UNIX) as other_one,
        socket.socket(socket.AF_UNIX) as abstract_one,
    ):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        addresses = [f"{tmp_path}/s", f"{runtime}/bus", f"{elsewhere}/a socket", f"\0{tmp_path}"]
        for one, address in zip([temporary_one, runtime_one, other_one, abstract_one], addresses, strict=True):
            one.bind(address)
            one.listen()
        speak = (
            f"import json, socket\nspoken = []\nfor address in {addresses!r}:\n"
            "    try:\n        socket.socket(socket.AF_UNIX).connect(address)\n        spoken.append(address)\n"
            "    except OSError: pass\nprint(json.dumps(spoken))"
        )
        assert json.loads(run_sandboxed([sys.executable, "-c", speak], UNSAFE, isolate=False).stdout) == addresses
        assert json.loads(in_namespaces(speak).stdout) == []


@pytest.mark.parametrize("name", ["fuse", "kvm", "loop-control", "loop0", "net/tun"])
def test_devices_cant_be_opened(in_namespaces, name):
    """The user may have the right to: root has, and others as members of groups such as kvm."""
    if not os.access(f"/dev/{name}", os.R_OK):
        pytest.skip(f"this machine has no /dev/{name}, or this user may not open it")
    run = in_namespaces(f"import os; os.close(os.open('/dev/{name}', os.O_RDONLY))")
    assert "FileNotFoundError" in run.stderr


def test_there_is_no_way_to_the_host_of_a_virtual_machine(in_namespaces):
    """AF_VSOCK knows no network namespaces."""
    try:
        socket.socket(socket.AF_VSOCK).close()  # type: ignore[attr-defined, unused-ignore]
    except OSError:
        pytest.skip("this system has no AF_VSOCK")
    run = in_namespaces("import socket; socket.socket(socket.AF_VSOCK)")
    assert "Address family not supported" in run.stderr


def test_without_namespaces_calls_of_the_c_library_reach_no_network():
    """The hook in Python was passed so."""
    if os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("the filter of system calls knows x86-64 and ARM64 alone")
    call = "import ctypes, sys; sys.exit(ctypes.CDLL(None).socket(2, 1, 0) + 1)"
    run = run_sandboxed([sys.executable, "-c", call], UNSAFE, isolate=False)
    assert run.is_passed


def test_there_are_no_namespaces_below(in_namespaces):
    """In one of its own a program would have all rights again, and the kernel's whole face to attack."""
    run = in_namespaces("import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) + 1)")
    assert run.is_passed


def test_without_namespaces_nothing_runs_unasked():
    with pytest.raises(EvaluationError, match="--unsafe-programs") as refused:
        run_sandboxed(["true"], isolate=False)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "asked", [{"humaneval": True}, {"functional": FunctionalSettings()}], ids=["humaneval", "functional"]
)
def test_a_refusal_is_reported_before_models_are_scored(asked, tmp_path, monkeypatch):
    def refuse(source, limits):
        assert limits.needs_namespaces
        return run_sandboxed(["true"], limits, isolate=False)

    monkeypatch.setattr("submodel.evaluation.evaluation_run.run_python", refuse)
    settings = EvalSettings(repository=tmp_path, models=("base",), base="smollm2-135m", **asked)
    with pytest.raises(EvaluationError, match="--unsafe-programs"):
        run_evaluation(settings, display=None)  # type: ignore[arg-type]


# ---- Found by the second reading.

KEY_CALLS = {"x86_64": (248, 250), "aarch64": (217, 219)}  # add_key(2), keyctl(2)
SESSION_KEYRING, UNLINK, SEARCH, READ = -3, 9, 10, 11


def test_sockets_under_other_names_cant_be_spoken_to(in_namespaces, tmp_path, monkeypatch):
    """The kernel lists names that sockets were bound under; OpenSSH binds, links and unlinks its ControlMaster's."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as linked, socket.socket(socket.AF_UNIX) as relative:
        linked.bind(f"{tmp_path}/cm.random")
        Path("cm").hardlink_to("cm.random")
        Path("cm.random").unlink()
        relative.bind("relative")
        for one in (linked, relative):
            one.listen()
        speak = (
            "import socket\nfor name in 'cm', 'relative':\n"
            f"    try: socket.socket(socket.AF_UNIX).connect({str(tmp_path)!r} + '/' + name); print(name)\n"
            "    except OSError: pass"
        )
        # The folder is named, so that it is seen: nothing but the filter holds the program.
        assert in_namespaces(speak, python_path=[tmp_path]).stdout == ""


def test_no_datagram_leaves_a_pair_of_sockets(in_namespaces, tmp_path):
    """Either of such a pair may send to any path, without socket(2)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "random"))
        (tmp_path / "log").hardlink_to(tmp_path / "random")
        (tmp_path / "random").unlink()
        log.setblocking(False)
        send = f"import socket; socket.socketpair(type=socket.SOCK_DGRAM)[0].sendto(b'told', {str(tmp_path / 'log')!r})"
        run = in_namespaces(send, python_path=[tmp_path])
        with pytest.raises(BlockingIOError):
            log.recv(10)
        assert "Protocol not supported" in run.stderr


def test_keys_of_the_session_cant_be_read(in_namespaces):
    """Kerberos keeps tickets there; no namespace holds them."""
    add_key, keyctl = KEY_CALLS[os.uname().machine]
    call = ctypes.CDLL(None, use_errno=True).syscall
    key = call(add_key, b"user", b"submodel test", b"sesame", 6, SESSION_KEYRING)
    if key < 0:
        pytest.skip("this kernel has no keys")
    try:
        read = (
            "import ctypes\ncall = ctypes.CDLL(None).syscall\ntext = ctypes.create_string_buffer(64)\n"
            f"key = call({keyctl}, {SEARCH}, {SESSION_KEYRING}, b'user', b'submodel test', 0)\n"
            f"print(key, call({keyctl}, {READ}, key, text, 64), text.value)"
        )
        assert in_namespaces(read).stdout == "-1 -1 b''\n"
    finally:
        call(keyctl, UNLINK, key, SESSION_KEYRING)


@pytest.mark.parametrize("call", ["ptrace(0, 0, 0, 0)", "process_vm_readv(os.getpid(), 0, 0, 0, 0, 0)"])
def test_memory_of_processes_cant_be_asked_for(in_namespaces, call):
    """Not even of its own, where nothing else refuses it."""
    ask = f"import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.{call}, ctypes.get_errno())"
    assert in_namespaces(ask).stdout == "-1 1\n"


def test_limits_of_what_watches_it_cant_be_set(in_namespaces):
    """Without open files that one can count no processes, and ended the evaluation."""
    run = in_namespaces(
        "import os, resource, time\ntry: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))\n"
        "except PermissionError: pass\ntime.sleep(0.3)\nos._exit(3)"
    )
    assert (run.outcome, run.code) == ("failed", 3)


def test_nothing_runs_where_no_filter_is_known(in_namespaces):
    """As on other processors than x86-64 and ARM64; this process says that it is on one."""
    run = (
        "import ctypes, os, sys\nfrom contract.errors import EvaluationError\n"
        "from laboratory.programs.sandbox import run_sandboxed\nctypes.CDLL(None).personality(8)  # PER_LINUX32\n"
        "if os.uname().machine in ('x86_64', 'aarch64'): sys.exit('no such personality')\n"
        "try: print(run_sandboxed(['true']).network)\nexcept EvaluationError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=False)
    if "no such personality" in ended.stderr:
        pytest.skip("this processor knows no 32-bit programs")
    assert "no filter of system calls is known" in ended.stdout


def test_nothing_runs_where_other_processes_stay_in_sight(in_namespaces):
    """The kernel grants no fresh /proc where a part of the old one is covered, as containers do."""
    run = (
        "import sys\nfrom contract.errors import EvaluationError\n"
        "from laboratory.programs.sandbox import run_sandboxed\n"
        "command = [sys.executable, '-c', 'import os; print(sum(map(str.isdigit, os.listdir(\"/proc\"))))']\n"
        "try: print(run_sandboxed(command).stdout)\nexcept EvaluationError as error: print(error)"
    )
    cover = 'mount -t tmpfs none /proc/sys && exec "$0" -c "$1"'
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", cover, sys.executable, run]
    try:
        ended = subprocess.run(unshare, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this system has no unshare(1) or mount(8) to make such a /proc: {error}")
    assert "(mount: Operation not permitted)" in ended.stdout


def test_the_users_files_cant_be_read_nor_pipes_written(in_namespaces):
    """A pipe can be written to where the mount can't; a service of the user's may read commands from it."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        Path(folder, "id_rsa").write_text("sesame")
        os.mkfifo(Path(folder, "pipe"))
        reader = os.open(Path(folder, "pipe"), os.O_RDONLY | os.O_NONBLOCK)
        try:
            reach = (
                f"import os\nfor path in {folder + '/id_rsa'!r}, {__file__!r}:\n"
                "    try: open(path); print(path)\n    except FileNotFoundError: pass\n"
                f"os.write(os.open({folder + '/pipe'!r}, os.O_WRONLY | os.O_NONBLOCK), b'forged')"
            )
            run = in_namespaces(reach)
            assert os.read(reader, 10) == b""
        finally:
            os.close(reader)
    assert run.stdout == ""
    assert "FileNotFoundError" in run.stderr


@pytest.mark.parametrize("place", ["copy/bin/test", "clone/.venv/bin/test"])
def test_an_environment_of_the_repository_shows_no_other_folder(place, tmp_path):
    """Succeeds on cc3f76c: `home` of a pyvenv.cfg in a clone, or a link beside it, named the folder to be shown."""
    work, keys = tmp_path / "copy", tmp_path / ".ssh"
    program = tmp_path / place
    program.parent.mkdir(parents=True)
    keys.mkdir()
    (keys / "id_rsa").write_text("precious")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (program.parent / "python").symlink_to(keys / "id_rsa")
    (program.parent.parent / "pyvenv.cfg").write_text(f"home = {keys}\n")
    assert keys not in _readable_folders(program, work, [tmp_path])


def test_links_of_the_copy_lead_to_no_other_folder(tmp_path):
    work, other = tmp_path / "copy", tmp_path / "other"
    for folder in (work, other):
        folder.mkdir()
    (other / "tool").write_text("#!/bin/sh\n")
    (other / "tool").chmod(0o755)
    (work / "test").symlink_to(other / "tool")
    assert other not in _readable_folders(work / "test", work, [tmp_path])
    assert other in _readable_folders(other / "tool", work, [tmp_path])

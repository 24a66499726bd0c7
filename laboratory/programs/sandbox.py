"""Runs an untrusted program under limits: time, memory, processes, files, no network, no secrets.

Models and strangers write the programs that run here. A program runs in its own namespaces, which Linux grants to
ordinary users on most machines. It starts only if all of these protections are in place:

- network "namespace": only a loopback of the namespace. A filter of system calls refuses sockets of other kinds than
  IPv4, IPv6 and netlink, so that the program reaches none of the host's Unix sockets. Connected pairs of Unix sockets
  are allowed, since asyncio and multiprocessing need them. multiprocessing's managers and its "forkserver" need more,
  and fail.
- The same filter refuses the kernel's keys, ptrace and its kin, and limits of other processes. It knows x86-64 and
  ARM64; on other machines nothing runs here.
- processes: the program sees no others, and the kernel ends all of the namespace with its first process.
- files: read-only, except the program's folder. Of the root's folders the program sees those of the system
  (SYSTEM_FOLDERS), without what the user has in them (`_hidden_folders`). The home folder and all others are empty,
  except for the program's own installation (`_installations`) and what the caller names. Files that lie in the root
  itself can't be opened. /tmp, /var/tmp and /dev/shm are fresh and empty. /dev holds null, zero, full, random, urandom
  and pseudo-terminals.

If the kernel does not grant all of this (most containers, macOS), EvaluationError is raised, unless
`Limits.needs_namespaces` is False. A program then has the rights of its user, and only a machine or container that can
be thrown away protects the rest:

- network "seccomp": a filter of system calls refuses sockets, except Unix ones (Linux on x86-64 and ARM64). Elsewhere
  "python" for Python programs (a hook refuses sockets; calls of the C library bypass it), and "none" for others.
- processes: found by their descent and ended. If some are still there after five seconds, the outcome is "left
  processes". On macOS a process that leaves its session survives, and processes aren't counted. The program can look at
  other processes of the user, and at their environment. It can end the launcher.
- files: writable, also those that judge. The outcome of a program that attacks is then meaningless.
- On Linux this process and the launcher are undumpable while a program runs, and programs run one after the other. So
  no program can write its own outcome through their descriptors in /proc, or reach their memory.

An outcome is how the command ended; the kernel reports it to the launcher, and the launcher to this process. It does
not mean that the program did what it was asked. Code that runs in the same process as its tests can end that process
with 0 and print what the tests would have printed.

Not covered: The sandbox is no boundary against code that attacks the kernel. In the system's folders and in
installations, a program can read what the user can (root: /etc/shadow as well), and write into pipes that the user can
write to. /proc/keys names the kernel's keys. A program can lower the priority of the process that watches it; if that
process is late by GRACE_S or ends without a report, the outcome is "no report". Limits of memory, CPU time and open
files hold for each process, not for their sum. The disk is limited by file, not in total. Root is exempt from
RLIMIT_NPROC (which counts threads too); so processes are also counted from outside, every 50 ms, and a fork bomb gets a
moment. Memory means address space, of which some programs reserve more than they ever use; macOS has no working
RLIMIT_AS. On Windows nothing runs: EvaluationError.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from contract.children import find_program
from contract.errors import EvaluationError

ProgramOutcome = Literal[
    "passed", "failed", "timed out", "out of memory", "too many processes", "left processes", "no report"
]
Network = Literal["namespace", "seccomp", "python", "none"]

IS_LINUX: Final[bool] = sys.platform == "linux"
LAUNCHER: Final = Path(__file__).with_name("sandbox_launcher.py")
GRACE_S: Final = 10.0  # what setting up and clearing away may take on a busy machine
# The root's folders that programs share. They seldom hold users' files, or pipes that users can write to.
SYSTEM_FOLDERS: Final = frozenset(
    {"bin", "dev", "etc", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "opt", "proc", "sbin", "sys", "usr"}
)
CHUNK_BYTES: Final = 1 << 16
REPORT_BYTES: Final = 1 << 16
PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4  # prctl(2)

_alone: Final = threading.Lock()

# Audit hooks can't be removed. Sockets of the Unix family stay: asyncio talks to itself through a pair of them.
NO_NETWORK: Final = '''\
"""Refuses the network to this Python program."""
import sys

_LOOKUPS = {"socket." + name for name in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo")}


def _refuse(event, arguments):
    if event == "socket.__new__" and arguments[1] != 1 or event in _LOOKUPS:
        raise PermissionError("there is no network in the sandbox")


sys.addaudithook(_refuse)
'''


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may take. Limits hold for each process of it, except `wall_s`, `processes`, `tail_bytes`."""

    needs_namespaces: bool = True  # False: if the kernel grants none, the program runs with less protection

    wall_s: float = 10.0
    cpu_s: int = 10
    memory_bytes: int = 1 << 30
    processes: int = 64
    file_bytes: int = 64 << 20
    open_files: int = 256
    tail_bytes: int = 16 << 10  # kept of each of the two outputs; the rest is read and dropped

    def __post_init__(self) -> None:
        if self.wall_s <= 0 or min(self.cpu_s, self.memory_bytes, self.processes, self.open_files) < 1:
            raise EvaluationError("A sandbox needs limits above zero.")


_DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, kw_only=True)
class SandboxRun:
    """How a program ended, and what kept it from the network.

    "out of memory" follows from its last line or from SIGKILL. "no report": the process that watches it was late or
    ended, as a hostile program or a lack of memory can bring about; without namespaces `network` is "none" then.
    """

    outcome: ProgramOutcome
    code: int | None  # as subprocess has it, negative for a signal; None if the sandbox ended it
    stdout: str  # the last `tail_bytes`
    stderr: str
    seconds: float
    network: Network

    @property
    def is_passed(self) -> bool:
        """Whether the program ended by itself, with 0."""
        return self.outcome == "passed"


def run_python(source: str, limits: Limits = _DEFAULT_LIMITS) -> SandboxRun:
    """Run the text of one Python program, as `program.py` in a fresh folder."""
    return run_sandboxed([sys.executable, "program.py"], limits, texts={"program.py": source})


def run_sandboxed(
    command: Sequence[str],
    limits: Limits = _DEFAULT_LIMITS,
    *,
    folder: Path | None = None,
    texts: Mapping[str, str] | None = None,
    python_path: Sequence[Path] = (),
    isolate: bool = True,
) -> SandboxRun:
    """Run `command` and return how it ended. In namespaces no process of it is left.

    The command starts in `folder`, which it may change; by default in a fresh temporary one that holds `texts` (name →
    content) and is removed afterwards. A relative path to a program is looked up there, then in the current folder.
    HOME and TMPDIR are fresh in either case. Of the environment only PATH is handed on. `isolate=False` leaves the
    namespaces out, as if the kernel had refused them. Raises EvaluationError if the program can't be started, if the
    system has no such sandbox, or if it refuses namespaces that are needed.
    """
    if os.name != "posix":
        raise EvaluationError("Programs are sandboxed on Linux and macOS only; on Windows run it within WSL.")
    with temporary_folder("submodel-sandbox-") as scratch:
        home, preamble = scratch / "home", scratch / "preamble"
        home.mkdir()
        preamble.mkdir()
        (preamble / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
        for file_name, text in (texts or {}).items():
            (home / file_name).write_text(text, encoding="utf-8")
        work = home if folder is None else folder.resolve()
        # The user's own folder has the same names as its copy; an environment is not copied.
        found = (find_program(str(work / command[0])) if os.sep in command[0] else None) or find_program(command[0])
        if found is None:
            raise EvaluationError(f"There is no program {command[0]} to run in the sandbox.")
        program = Path(found)
        hidden = _hidden_folders()
        named = [path.resolve() for path in python_path if path.is_dir() and not path.is_relative_to(work)]
        fresh = {Path(name).resolve() for name in ("/tmp", "/var/tmp", tempfile.gettempdir()) if Path(name).is_dir()}
        job = {
            "command": [str(program), *command[1:]],
            "folder": str(work),
            "writable": sorted({str(home), str(work)}),
            "covered": [str(path) for path in hidden],
            "fresh": sorted(map(str, fresh)),
            "readable": [str(path) for path in [*_readable_folders(program, work, hidden), *named]],
            "preamble": str(preamble) if _reads_python_path(command) else None,
            "limits": asdict(limits),
        }
        environment = _environment(home, python_path)
        reason = "they are left out"
        if isolate:
            try:
                return _run({**job, "isolate": True}, environment, limits)
            except _Unwalled as error:
                reason = str(error)
        if limits.needs_namespaces:
            raise EvaluationError(
                f"This system grants no namespaces to hold a program that a model or a stranger wrote ({reason}); in a "
                "container or machine that can be thrown away, run it with --unsafe-programs."
            )
        with _out_of_reach():
            return _run({**job, "isolate": False}, environment, limits)


class _Unwalled(Exception):
    """The program was not started, since the kernel refuses namespaces or mounts in them; the message says why."""


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Yield a fresh folder in which programs may do anything; afterwards it is removed.

    No link in it is followed. What can't be removed stays, since that must not stop a measurement. TemporaryDirectory
    is not used: before Python 3.11.8 and 3.12.1 it changes the mode of what a link leads to (CVE-2023-6597).
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError, RecursionError):  # a tree can be deeper than the stack
            for root, names, _ in os.walk(folder):
                for name in names:
                    path = Path(root, name)
                    if not path.is_symlink():
                        path.chmod(0o700)
        with contextlib.suppress(RecursionError):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _out_of_reach() -> Iterator[None]:
    """Keep this process's descriptors and memory from a program of the same user, and run one such program at a time.

    A launcher is within reach for a moment, until it is undumpable. So no other program may run when it starts.
    """
    with _alone:
        if not IS_LINUX:
            yield
            return
        prctl = ctypes.CDLL(None).prctl
        before = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        try:
            yield
        finally:
            prctl(PR_SET_DUMPABLE, before, 0, 0, 0)


def _hidden_folders() -> list[Path]:
    """Return the root's folders except the system's, and the user's folders in those; none lies within another."""
    with os.scandir("/") as entries:
        folders = {
            Path(entry.path)
            for entry in entries
            if entry.name not in SYSTEM_FOLDERS and entry.is_dir(follow_symlinks=False)
        }
    for name in (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), _home()):
        path = Path(name or "/").resolve()
        # A service may have /usr/sbin for its home.
        is_own = sys.platform != "win32" and path.is_dir() and path.stat().st_uid == os.getuid()
        if path.is_dir() and path.parent != path and (path != _home() or is_own):
            folders.add(path)
    return sorted(path for path in folders if not folders.intersection(path.parents))


def _readable_folders(program: Path, work: Path, hidden: Sequence[Path]) -> list[Path]:
    """Return what is shown of the hidden folders: installations of the program, and of the Python that PATH leads to.

    The home folder itself is never shown, and no folder that holds it.
    """
    pythons = [Path(found) for found in map(find_program, ("python", "python3")) if found]
    needed = {folder for place in (program, *pythons) for folder in _installations(place, work)}
    needed |= {Path("/", name).resolve() for name in (*SYSTEM_FOLDERS, "usr/local")}  # some systems have them in /var
    places = {folder: {folder, folder.resolve()} for folder in needed if folder.is_dir()}
    return sorted(
        folder
        for folder, names in places.items()
        if any(name.is_relative_to(one) for name in names for one in hidden)
        and not any(_home().is_relative_to(name) for name in names)
    )


def _installations(program: Path, work: Path) -> set[Path]:
    """Return a program's folders: its own, those that links lead through, and those of its environment's Python.

    A stranger may have made the links and the environment. So of a program in `work` none are followed, and elsewhere
    none that lead to something else than a program.
    """
    places: set[Path] = set()
    waiting = [] if program.is_relative_to(work) else [program, program.resolve()]
    while waiting:
        place = waiting.pop()
        if place in places or not place.is_file() or not os.access(place, os.X_OK):
            continue
        places.add(place)
        if place.is_symlink():
            waiting.append(Path(os.path.normpath(place.parent / place.readlink())))
        settings = place.parent.parent / "pyvenv.cfg"
        if settings.is_file():
            waiting.append(place.parent / "python")
            text = settings.read_text(encoding="utf-8", errors="replace")
            homes = re.findall(r"(?m)^home *=(.+)$", text)
            waiting += [Path(home.strip(), name) for home in homes for name in ("python3", "python")]
    return {folder for place in places for folder in _own_folders(place)}


def _own_folders(program: Path) -> list[Path]:
    folder, prefix = program.parent, program.parent.parent
    if folder.name != "bin":
        return [folder]
    is_shared = prefix.resolve() == _home() / ".local" or _home().is_relative_to(prefix.resolve())
    return [folder, prefix / "lib"] if is_shared else [prefix]


def _home() -> Path:
    return Path(os.path.expanduser("~")).resolve()  # noqa: PTH111 - no error for a user who has none


def _environment(home: Path, python_path: Sequence[Path]) -> dict[str, str]:
    path = {"PYTHONPATH": os.pathsep.join(map(str, python_path))} if python_path else {}
    return path | {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",  # the same order of sets in every run
        "PYTHONDONTWRITEBYTECODE": "1",  # a file changed twice within a second would run from a stale cache
    }


def _reads_python_path(command: Sequence[str]) -> bool:
    """Return whether the command would read the preamble: a Python whose options don't ignore PYTHONPATH or site."""
    if not re.fullmatch(r"(python|pypy)[\d.]*", Path(command[0]).name):
        return False
    for argument in command[1:]:
        if not argument.startswith("-") or argument in ("-m", "-c"):
            break
        if re.fullmatch(r"-\w*[IES]\w*", argument):
            return False
    return True


def _run(job: Mapping[str, Any], environment: Mapping[str, str], limits: Limits) -> SandboxRun:
    report, report_end = os.pipe()
    started = time.monotonic()
    try:
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps({**job, "report_fd": report_end})],
            env=dict(environment),
            stdin=subprocess.PIPE,  # its end, even by the death of this process, ends the program
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(report_end,),
            start_new_session=True,
        )
    except BaseException:
        os.close(report)
        raise
    finally:
        os.close(report_end)
    assert launcher.stdin and launcher.stdout and launcher.stderr
    with launcher.stdin, launcher.stdout, launcher.stderr, os.fdopen(report, "rb") as reported:
        try:
            tails = _read(reported.fileno(), launcher, limits, started + limits.wall_s + GRACE_S)
        finally:
            _end(launcher)
    stdout, stderr = (tail.decode(errors="replace") for tail in tails[1:])
    seconds = time.monotonic() - started
    document = _first_report(tails[0])
    if document is None:
        network: Network = "namespace" if job["isolate"] else "none"
        return SandboxRun(
            outcome="no report", code=None, stdout=stdout, stderr=stderr, seconds=seconds, network=network
        )
    if "unwalled" in document:
        raise _Unwalled(document["unwalled"])
    if "error" in document:
        raise EvaluationError(f"The sandbox can't run {job['command'][0]}: {document['error']}.")
    return SandboxRun(
        outcome=_outcome(document, stderr, limits),
        code=document["code"],
        stdout=stdout,
        stderr=stderr,
        seconds=seconds,
        network=document["network"],
    )


def _read(reported: int, launcher: subprocess.Popen[bytes], limits: Limits, deadline: float) -> list[bytearray]:
    """Return tails of the report and both outputs, read until the report ends: no orphan can keep that open.

    After the deadline the report is empty.
    """
    assert launcher.stdout and launcher.stderr
    streams = [reported, launcher.stdout.fileno(), launcher.stderr.fileno()]
    tails = {stream: bytearray() for stream in streams}
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            if sys.platform != "win32":  # `run_sandboxed` has refused it
                os.set_blocking(stream, False)
            selector.register(stream, selectors.EVENT_READ)
        while reported in selector.get_map():
            if time.monotonic() > deadline:
                tails[reported].clear()
                break
            for key, _ in selector.select(timeout=1.0):
                if not _read_chunk(key.fd, tails[key.fd], REPORT_BYTES if key.fd == reported else limits.tail_bytes):
                    selector.unregister(key.fd)
    for stream in streams[1:]:  # what is still in the pipes, no more than they hold
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):
                if not _read_chunk(stream, tails[stream], limits.tail_bytes):
                    break
    return list(tails.values())


def _read_chunk(stream: int, tail: bytearray, most: int) -> bool:
    chunk = os.read(stream, CHUNK_BYTES)
    tail += chunk
    del tail[: max(0, len(tail) - most)]
    return bool(chunk)


def _end(launcher: subprocess.Popen[bytes]) -> None:
    assert launcher.stdin
    launcher.stdin.close()
    try:
        launcher.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()


def _first_report(reported: bytearray) -> dict[str, Any] | None:
    """Return the report's first line: an error comes before the outcome that follows from it. None if there is none."""
    line, newline, _ = reported.partition(b"\n")
    return dict(json.loads(line)) if newline else None


def _outcome(document: Mapping[str, Any], stderr: str, limits: Limits) -> ProgramOutcome:
    ended_by: ProgramOutcome
    for ended_by in ("timed out", "too many processes", "left processes"):
        if document["ended_by"] == ended_by:
            return ended_by
    code = document["code"]
    if code == 0:
        return "passed"
    killed, is_over_time = False, False
    if sys.platform != "win32":
        killed = code == -signal.SIGKILL
        is_over_time = code == -signal.SIGXCPU or (killed and document["cpu_s"] >= limits.cpu_s)
    if is_over_time:
        return "timed out"
    last = stderr.rstrip().rpartition("\n")[2]
    if killed or re.match(r"MemoryError\b|.*(bad_alloc|Cannot allocate memory)", last):
        return "out of memory"
    return "failed"

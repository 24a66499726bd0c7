"""The sandbox's launcher: a script that confines itself, starts the program, waits for it, and ends what it started.

`sandbox.run_sandboxed` runs this script in another Python (`-I -S`, so only the standard library is there). What the
script does to itself can't be undone, and forking is safe in it, unlike in a process full of threads. Its only argument
is the job as JSON. File descriptor 0 is a pipe that ends if the parent process wants no more or has died. The outcome
is one line of JSON in the descriptor that the job names.

With `isolate`, on Linux, the program gets its own user, network, process, mount and IPC namespaces: no network but its
own loopback, no sight of other processes, harmless devices (DEVICES), and a file system that is read-only except for
its own folders. A filter of system calls (`filter_calls`) refuses Unix sockets and the kernel's keys. If one of these
protections can't be set up, the program is not started, and the line names the reason as `unwalled`. Without `isolate`
the launcher adopts what the program leaves behind (Linux) or ends its process group (macOS). Processes that start
others faster than they are found can outlive it. If it sees any after END_S, it reports "left processes".

On Linux the launcher is undumpable before the program starts. The program has the same user, but can't open the
launcher's descriptors in /proc, nor read or write its memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

assert sys.platform != "win32"  # nothing below is there; `run_sandboxed` says so to people

IS_LINUX = sys.platform == "linux"
O_PATH = getattr(os, "O_PATH", 0)  # Linux only
WATCH_S = 0.05  # how often processes are counted
END_S = 5.0  # how long killed processes may take to be gone

# unshare(2), mount(2), mount_setattr(2), prctl(2)
NEW_USER, NEW_MOUNTS, NEW_IPC, NEW_PROCESSES, NEW_NETWORK = 0x10000000, 0x00020000, 0x08000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_READ_ONLY, ATTR_NO_DEVICES = 442, -100, 0x8000, 0x1, 0x4
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, SECCOMP_ALLOW, SECCOMP_ERRNO = 22, 2, 0x7FFF0000, 0x00050000
LOAD_WORD, AND, JUMP_EQUAL, JUMP_GREATER_EQUAL, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # classic BPF
X32, SOCKET_TYPE_MASK = 0x40000000, 0xF
SIOCSIFFLAGS, IFF_UP, AF_NETLINK = 0x8914, 0x1, 16

Line = tuple[int, int, int, int]  # of classic BPF: what to do, lines to skip if true and if false, operand


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The numbers that the filter needs: AUDIT_ARCH_… and those of system calls."""

    architecture: int
    socket: int
    socketpair: int
    prlimit64: int
    refused: tuple[int, ...]  # ptrace, add_key, request_key, keyctl, process_vm_readv, process_vm_writev


EVERYWHERE_REFUSED = (425, 438)  # io_uring_setup, which makes sockets by other ways than socket(2); pidfd_getfd
MACHINES = {
    "x86_64": Machine(
        architecture=0xC000003E, socket=41, socketpair=53, prlimit64=302, refused=(101, 248, 249, 250, 310, 311)
    ),
    "aarch64": Machine(
        architecture=0xC00000B7, socket=198, socketpair=199, prlimit64=261, refused=(117, 217, 218, 219, 270, 271)
    ),
}

DEVICES = ("null", "zero", "full", "random", "urandom")  # what /dev holds, and pseudo-terminals of its own
DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
FRESH = b"size=64m,mode=1777"  # a folder in memory, empty
COVER = b"size=1m,mode=755"  # the same, of which nothing but folders on the way to others is used


def call_libc(name: str, *arguments: Any) -> None:
    """Call a function of the C library; raise OSError as `os` would."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def hide_from_program() -> None:
    """Close this process's /proc entries and memory to programs of the same user. Children inherit it until exec."""
    call_libc("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)


def enter_namespaces() -> None:
    """Enter new namespaces (that of processes holds for the children); OSError if the kernel allows none."""
    uid, gid = os.getuid(), os.getgid()
    call_libc("unshare", NEW_USER | NEW_NETWORK | NEW_PROCESSES | NEW_MOUNTS | NEW_IPC)
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path("/proc/self", name).write_text(line, "ascii")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:  # tests often serve to themselves
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def filter_calls(*families: int) -> None:
    """Refuse system calls to this process and its children, for good; OSError if there is no such filter.

    Network namespaces do not cover Unix sockets that have a path, or AF_VSOCK, which leads from a virtual machine to
    its host. So only `families` are allowed, and connected pairs of Unix sockets; datagram pairs are not, since they
    could send to any path. Kernel keys know no namespaces; a session's may hold Kerberos tickets. Limits of another
    process could end the one that watches. Calls of other architectures are refused altogether.
    """
    machine = MACHINES.get(os.uname().machine)
    if machine is None or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, f"no filter of system calls is known for {os.uname().machine}", "seccomp")
    lines: list[Line] = [
        (LOAD_WORD, 0, 0, 4),  # the architecture
        (JUMP_EQUAL, 1, 0, machine.architecture),
        _refuse(errno.ENOSYS),
        (LOAD_WORD, 0, 0, 0),  # the call's number
        (JUMP_GREATER_EQUAL, 0, 1, X32),
        _refuse(errno.ENOSYS),
        *(line for number in (*machine.refused, *EVERYWHERE_REFUSED) for line in _call(number, _refuse(errno.EPERM))),
        *_call(machine.socket, _argument(0), *_allow(*families), _refuse(errno.EAFNOSUPPORT)),
        *_call(
            machine.socketpair,
            _argument(1),
            (AND, 0, 0, SOCKET_TYPE_MASK),
            *_allow(socket.SOCK_STREAM, socket.SOCK_SEQPACKET),
            _refuse(errno.EPROTONOSUPPORT),
        ),
        *_call(machine.prlimit64, _argument(0), *_allow(0), _refuse(errno.EPERM)),  # 0: the caller
        (RETURN, 0, 0, SECCOMP_ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    program = struct.pack("HP", len(lines), ctypes.addressof(code))
    call_libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call_libc("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)


def _call(number: int, *lines: Line) -> list[Line]:
    """What is done at one call; the last line returns."""
    return [(JUMP_EQUAL, 0, len(lines), number), *lines]


def _allow(*values: int) -> list[Line]:
    return [line for value in values for line in ((JUMP_EQUAL, 0, 1, value), (RETURN, 0, 0, SECCOMP_ALLOW))]


def _argument(index: int) -> Line:
    return LOAD_WORD, 0, 0, 16 + 8 * index  # its lower half, since both machines are little-endian


def _refuse(number: int) -> Line:
    return RETURN, 0, 0, SECCOMP_ERRNO | number


def hide_processes() -> None:
    """Mount a /proc of this namespace alone; OSError if the kernel refuses, as in some containers."""
    call_libc("mount", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    # No namespaces below this one, in which the program would have all rights again.
    Path("/proc/sys/user/max_user_namespaces").write_text("0", "ascii")


def wall_files(job: dict[str, Any]) -> None:
    """Hide the folders in `covered`, except what lies there of `readable`, `writable` and `fresh`; `fresh` are empty.

    Files in the root itself are hidden by /dev/null, which can't be opened there. Only `writable` and `fresh` can be
    written. Of /dev only DEVICES are left. Raises OSError if a mount fails, as before Linux 5.12.
    """
    shown = {folder: os.open(folder, O_PATH) for folder in [*job["readable"], *job["writable"]]}
    devices = {os.fsencode(f"/dev/{name}"): os.open(f"/dev/{name}", O_PATH) for name in DEVICES}
    for folder in job["covered"]:
        call_libc("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", MS_NOSUID | MS_NODEV, COVER)
    with os.scandir("/") as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                _bind(devices[b"/dev/null"], os.fsencode(entry.path))
    _make_devices(devices)
    fresh = [_make_folder(folder) for folder in job["fresh"]]
    for path in fresh:
        call_libc("mount", b"tmpfs", path, b"tmpfs", MS_NOSUID | MS_NODEV, FRESH)
    for folder, descriptor in shown.items():
        _bind(descriptor, _make_folder(folder))
    _set_mount(b"/", AT_RECURSIVE, ATTR_READ_ONLY | ATTR_NO_DEVICES, 0)
    for path in [*fresh, *map(_make_folder, job["writable"]), b"/dev/shm"]:
        _set_mount(path, 0, 0, ATTR_READ_ONLY)
    for path in [*devices, b"/dev/pts"]:
        _set_mount(path, 0, 0, ATTR_NO_DEVICES)


def _make_folder(folder: str) -> bytes:
    """Make a folder if it is missing, and return its path: a link such as /home may lead into a covered folder."""
    path = os.path.realpath(folder)
    os.makedirs(path, exist_ok=True)  # noqa: PTH103 - the path that realpath gives is a text
    return os.fsencode(path)


def _make_devices(devices: dict[bytes, int]) -> None:
    # Nobody but the owner opens a device for writing, with O_CREAT as open(…, "w") does, in a folder for all.
    call_libc("mount", b"tmpfs", b"/dev", b"tmpfs", MS_NOSUID, b"size=64k,mode=755")
    for path, descriptor in devices.items():
        Path(os.fsdecode(path)).touch()
        _bind(descriptor, path)
    for name, target in DEVICE_LINKS.items():
        Path("/dev", name).symlink_to(target)
    Path("/dev/shm").mkdir()
    call_libc("mount", b"tmpfs", b"/dev/shm", b"tmpfs", MS_NOSUID | MS_NODEV, FRESH)
    Path("/dev/pts").mkdir()
    call_libc("mount", b"devpts", b"/dev/pts", b"devpts", MS_NOSUID | MS_NOEXEC, b"newinstance,ptmxmode=0666,mode=620")


def _bind(descriptor: int, path: bytes) -> None:
    call_libc("mount", b"/proc/self/fd/%d" % descriptor, path, None, MS_BIND | MS_REC, None)


def _set_mount(path: bytes, flags: int, on: int, off: int) -> None:
    attributes = struct.pack("QQQQ", on, off, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    call_libc("syscall", ctypes.c_long(SYS_MOUNT_SETATTR), AT_FDCWD, path, ctypes.c_uint(flags), attributes, size)


def become_program(job: dict[str, Any], has_namespaces: bool) -> None:
    """Turn this process into the program, limited for good. Returns only by an OSError or ValueError."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["folder"])
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # some are ignored here, and exec would hand that on
    limits = job["limits"]
    _limit(resource.RLIMIT_CPU, limits["cpu_s"], limits["cpu_s"] + 1)
    _limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _limit(resource.RLIMIT_NOFILE, limits["open_files"])
    _limit(resource.RLIMIT_CORE, 0)
    if sys.platform != "darwin":
        _limit(resource.RLIMIT_AS, limits["memory_bytes"])
    if has_namespaces:
        _limit(resource.RLIMIT_NPROC, limits["processes"] + 2)  # counted within the namespace, this script included
    elif job["preamble"] is not None:
        paths = [job["preamble"], *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    if IS_LINUX:
        for capability in range(64):  # root could trace the launcher with them
            with contextlib.suppress(OSError):  # beyond the kernel's last; or none to drop
                call_libc("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
        call_libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execvp(job["command"][0], job["command"])


def _limit(what: int, soft: int, hard: int | None = None) -> None:
    most = resource.getrlimit(what)[1]
    wanted = (soft, soft if hard is None else hard)
    resource.setrlimit(what, wanted if most == resource.RLIM_INFINITY else (min(soft, most), min(wanted[1], most)))


def supervise(job: dict[str, Any], *, has_namespaces: bool) -> dict[str, Any]:
    """Start the program, wait until it ends or must end, and end all that it started, outside of namespaces.

    Returns `ended_by` ("itself", "timed out", "too many processes", "left processes" or "abandoned"), `code` (as
    subprocess has it; None if it was killed from here) and `cpu_s`.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from the program; others don't reach a namespace's first process
    deadline = time.monotonic() + job["limits"]["wall_s"]
    program = os.fork()
    if program == 0:
        signal.set_wakeup_fd(-1)
        try:
            become_program(job, has_namespaces)
        except (OSError, ValueError) as error:
            report(job, {"error": str(error)})
        os._exit(127)
    ended_by, code, cpu_s = "", None, 0.0
    while not ended_by:
        pid, status, usage = _reap()
        while pid:
            if pid == program:
                ended_by, code = "itself", os.waitstatus_to_exitcode(status)
                cpu_s = usage.ru_utime + usage.ru_stime
            pid, status, usage = _reap()
        left_s = deadline - time.monotonic()
        if ended_by:
            break
        if left_s <= 0:
            ended_by = "timed out"
        elif IS_LINUX and _count(has_namespaces) > job["limits"]["processes"]:
            ended_by = "too many processes"
        else:
            ready = select.select([0, reader], [], [], min(left_s, WATCH_S))[0]
            if reader in ready:
                os.read(reader, 512)
            if 0 in ready:
                ended_by = "abandoned"
    if not has_namespaces and not end_all(program):
        ended_by = "left processes"
    return {"ended_by": ended_by, "code": code, "cpu_s": cpu_s}


def _reap() -> tuple[int, int, resource.struct_rusage]:
    try:
        return os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0, resource.getrusage(resource.RUSAGE_SELF)


def end_all(program: int) -> bool:
    """Kill whatever the program left, and wait until it is gone, END_S at most. Return False if some is left.

    Only the program's group and this process's descendants are named, never −1: that would be every process of the
    user. A namespace does not need this, since the kernel ends it with its first process.
    """
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        for target in [-program, *(_descendants() if IS_LINUX else ())]:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # gone already; macOS: only zombies left
                os.kill(target, signal.SIGKILL)
        try:
            while os.wait4(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        time.sleep(0.002)
    return IS_LINUX and not _descendants()


def _count(has_namespaces: bool) -> int:
    """Count the program's processes. Threads are not counted."""
    if has_namespaces:
        return sum(path.name.isdigit() for path in Path("/proc").iterdir()) - 1
    return len(_descendants())


def _descendants() -> list[int]:
    """Return every process below this one, including dead ones that nobody has waited for."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            parent = (path / "stat").read_bytes().rpartition(b")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(path.name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def report(job: dict[str, Any], document: dict[str, Any]) -> None:
    """Report to the parent process; a line shorter than a pipe's buffer is never torn."""
    os.write(job["report_fd"], json.dumps(document).encode() + b"\n")


def main() -> None:
    """Run one job."""
    job = json.loads(sys.argv[1])
    os.set_inheritable(job["report_fd"], False)  # the program must not report its own outcome
    if job["isolate"]:
        run_walled(job)
        return
    has_filter = False
    if IS_LINUX:
        hide_from_program()
        call_libc("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        with contextlib.suppress(OSError):
            filter_calls(socket.AF_UNIX)
            has_filter = True
    network = "seccomp" if has_filter else "none" if job["preamble"] is None else "python"
    report(job, supervise(job, has_namespaces=False) | {"network": network})


def run_walled(job: dict[str, Any]) -> None:
    """Run the program in namespaces, or report why there can be none."""
    if not IS_LINUX:
        report(job, {"unwalled": f"{sys.platform} has none"})
        return
    try:
        enter_namespaces()
        hide_from_program()  # not before: the maps of an undumpable process belong to root
        first = os.fork()
    except OSError as error:
        report(job, {"unwalled": _say(error)})
        return
    if first:
        os.waitpid(first, 0)
        return
    # This process is number 1 of its namespace: when it ends, the kernel ends all others in there, and the launcher's
    # wait is over only when they are gone.
    try:
        call_libc("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getpid() != 1:
            raise OSError(errno.ECHILD, "its process namespace is not a new one")
        call_libc("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        hide_processes()
        wall_files(job)
        filter_calls(socket.AF_INET, socket.AF_INET6, AF_NETLINK)
    except OSError as error:
        report(job, {"unwalled": _say(error)})
        os._exit(0)
    try:
        report(job, supervise(job, has_namespaces=True) | {"network": "namespace"})
    except OSError as error:
        report(job, {"error": _say(error)})
    os._exit(0)


def _say(error: OSError) -> str:
    return f"{error.filename or 'the sandbox'}: {error.strerror}"


if __name__ == "__main__":
    main()

"""git asked about a repository that nobody vouches for, so that nothing which the repository names is run.

A repository's own configuration and attributes can name programs: core.fsmonitor and hooks, filters and textconv of
`.gitattributes`, diff.external, gpg.program (run by `git show` where log.showSignature is set), transports that fetch
the missing objects of a partial clone, and git itself within submodules. All are off here, with no `GIT_*` variable of
the caller but GIT_CONFIG_GLOBAL, no system configuration, a time limit and a bound on the answer.

What it does not cover: faults of git itself, and the user's own configuration, ~/.gitconfig or what GIT_CONFIG_GLOBAL
names, which is read (it says what is ignored).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path, PurePath
from tempfile import TemporaryFile
from typing import IO

from contract.children import child_environment, find_program, kill_tree, shell_line
from contract.errors import CorpusError

TIMEOUT_S = 60.0  # a pipe in place of a file that git reads would hold it for ever
MAX_ANSWER_BYTES = 256 << 20  # names of some million files; a diff that is larger is no person's work
_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",  # a path in a diff is read as it is
    "core.askPass": "",
    "core.sshCommand": "false",
    "diff.external": "",
    "diff.orderFile": "/dev/null",  # which git takes for no file on Windows, too
    "diff.submodule": "short",
    "gpg.program": "false",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "log.showRoot": "true",
    "log.showSignature": "false",
    "protocol.allow": "never",
    "safe.bareRepository": "explicit",
    "submodule.recurse": "false",
}
_OPTIONS = (
    "--no-pager",
    "--literal-pathspecs",
    *(word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")),
)
# `ulimit` counts in blocks of 512 bytes. It fails if a lower limit is in force, which then holds.
_LIMITED = ("/bin/sh", "-c", 'ulimit -f "$0" 2>/dev/null; exec "$@"')
# Of every command that prints differences: attributes can name a program for each kind of file.
DIFF_OPTIONS = (
    *("--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature"),
    *("--ignore-submodules=all", "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/"),
)


class GitError(CorpusError):
    """git is missing, fails, takes too long or says too much; the message is a few words, to be put into a sentence."""


class GitLimitError(GitError):
    """git took too long or said too much, so that its answer is not known."""


def decode_name(name: bytes) -> str:
    """A file name that git printed, as Python has it. `os.fsdecode` raises on Windows where a name is not UTF-8."""
    return name.decode(sys.getfilesystemencoding(), "surrogateescape")


def git_environment() -> dict[str, str]:
    """The caller's environment without what steers git, and with what keeps it from reaching out."""
    kept = {
        name: value
        for name, value in child_environment().items()
        if not name.upper().startswith(("GIT_", "SSH_ASKPASS"))
    }
    own = os.environ.get("GIT_CONFIG_GLOBAL", "")
    if Path(own).is_absolute():  # a relative one could lie in the repository
        kept["GIT_CONFIG_GLOBAL"] = own
    return kept | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_LAZY_FETCH": "1",  # a partial clone fetches missing objects through a program of its choice
        "GIT_ALLOW_PROTOCOL": "",  # and for a git that knows no such variable: no transport is allowed
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def run_git(
    root: Path,
    *arguments: str,
    timeout_s: float = TIMEOUT_S,
    max_bytes: int = MAX_ANSWER_BYTES,
    max_file_bytes: int | None = None,
    more: Mapping[str, str] | None = None,
    asked: bytes = b"",
) -> bytes:
    """What git prints in the folder `root`; raises GitError where it fails, GitLimitError beyond a limit.

    `more` is added to git's environment, as for a command that reaches out (`fleet.git_source`). On POSIX git
    fails, too, if it writes a file of more than `max_file_bytes`. `asked` is what it reads from stdin.
    """
    git = find_program("git")
    if git is None:
        raise GitError("git is not installed")
    limited = () if max_file_bytes is None or os.name != "posix" else (*_LIMITED, str(max_file_bytes // 512))
    process = _start([*limited, git, *_OPTIONS, *arguments], root, git_environment() | dict(more or {}), asked)
    return _answer_of(process, arguments[0], timeout_s, max_bytes)


def advice_on(git_problem: str, repository: PurePath) -> str:
    """Return what a user can do about a GitError, a sentence behind a space, or ""; repository: its absolute path."""
    if "dubious ownership" not in git_problem:
        return ""
    named = re.search(r" in repository at '(/.+)'", git_problem)  # a folder above, of a part
    folder = shell_line([named.group(1) if named else repository.as_posix()])
    command = f"git config --global --add safe.directory {folder}"
    return f" submodel does not read the system's configuration of git; if you trust the folder, run `{command}`."


def _start(command: Sequence[str], root: Path, environment: Mapping[str, str], asked: bytes) -> subprocess.Popen[bytes]:
    """Start a command of git in a session of its own; raises GitError if it can't be started."""
    try:
        with ExitStack() as stack:
            source: IO[bytes] | int = subprocess.DEVNULL
            if asked:  # a file, since git may not read on before its answer is read
                source = stack.enter_context(TemporaryFile())
                source.write(asked)
                source.seek(0)
            return subprocess.Popen(
                command,
                cwd=root,
                env=environment,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # so that what git has started ends with it
            )
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        raise GitError(f"git can't be started: {error}") from error


def _answer_of(process: subprocess.Popen[bytes], name: str, timeout_s: float, max_bytes: int) -> bytes:
    """Return what a started command prints; it has ended afterwards. Raises as `run_git` does, naming the command."""
    assert process.stdout is not None and process.stderr is not None
    words: list[bytes] = []
    aside = threading.Thread(target=_read_all, args=(process.stderr, words), daemon=True)
    late = threading.Event()

    def end_late() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(timeout_s, end_late)
    with process.stdout:
        aside.start()
        timer.start()
        try:
            answer = process.stdout.read(max_bytes + 1)
            is_too_long = len(answer) > max_bytes
            if is_too_long:
                _kill(process)
            code = process.wait()
        finally:
            timer.cancel()
            _kill(process)
            aside.join(1.0)
    if is_too_long:
        raise GitLimitError(f"git {name} printed more than {max_bytes:,} bytes")
    if code:
        if late.is_set():
            raise GitLimitError(f"git {name} failed: it took more than {timeout_s:g} s")
        reason = _reason(b"".join(words).decode("utf-8", "replace"))
        raise GitError(f"git {name} failed: {reason or f'code {code}'}")
    return answer


def _reason(said: str) -> str:
    """Return why git failed, of all that it and the programs that it started have said."""
    lines = said.strip().splitlines() or [""]
    return next((line for line in lines if line.startswith("fatal:")), lines[-1])


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git, unless it has ended, with the programs that it started, such as ssh."""
    if process.poll() is None:
        if sys.platform == "win32":
            kill_tree(process)  # the git.exe in PATH starts the one that does the work
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read_all(errors: IO[bytes], words: list[bytes]) -> None:
    """Keep the first bytes, and read on: git waits while the pipe of its warnings is full.

    The pipe is closed here, since a program that has left git's session may hold its other end for long.
    """
    with errors:
        words.append(errors.read(4096))
        while errors.read(65536):
            pass

"""A repository that `submodel-fleet build` fetches runs nothing, writes nowhere else and fills no disk."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from contract.errors import BuildError
from fleet import git_source
from fleet.git_source import FetchError, ask_commit, check_address, fetch, is_address, without_password
from fleet.identity import COMMIT
from fleet.task import build_repository, describe
from submodel.build.build_settings import BuildSettings
from submodel.build.paths import prepare_output
from testbed.git import git
from tests.fleet.fleet_tasks import make_task

EXEC_PATH = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=False).stdout.strip()
BACKEND = Path(EXEC_PATH) / "git-http-backend"
serves_git = pytest.mark.skipif(
    os.name != "posix" or not BACKEND.is_file(), reason="git's own server over HTTP is not installed"
)


class Backend(BaseHTTPRequestHandler):
    """`git http-backend`, as a web server runs it."""

    folder: Path

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length", 0))
        environment = {
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "PATH": os.environ["PATH"],
        }
        body = self.rfile.read(length)
        answer = subprocess.run([BACKEND], input=body, env=environment, capture_output=True, check=True).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server, and the folder of its repositories."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = type("Handler", (Backend,), {"folder": folder})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", folder
        listening.shutdown()


def begin(repository: Path) -> Path:
    """A repository without a commit, on the branch main."""
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    return repository


@serves_git
def test_a_fetch_runs_no_filter_no_hook_and_no_submodule(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, served = server
    ran = tmp_path / "ran"
    home, template = tmp_path / "home", tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    home.mkdir()
    hook = template / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    hostile = begin(served / "hostile")
    (hostile / ".gitattributes").write_text("*.py filter=evil text eol=crlf ident\n")
    (hostile / "a.py").write_text("x = '$Id$'\n")
    (hostile / "link.py").symlink_to("/etc/passwd")
    (hostile / ".gitmodules").write_text(f'[submodule "sub"]\n\tpath = sub\n\turl = {address}/other\n')
    git(hostile, "add", "-A")
    git(hostile, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    git(hostile, "commit", "-q", "-m", "first")
    commit = git(hostile, "rev-parse", "HEAD")
    (home / ".gitconfig").write_text(
        f'[filter "evil"]\n\tsmudge = touch {ran}; cat\n\trequired = true\n[init]\n\ttemplateDir = {template}\n'
        "[submodule]\n\trecurse = true\n[core]\n\tautocrlf = true\n"
    )
    monkeypatch.setenv("HOME", str(home))
    assert ask_commit(f"{address}/hostile/.git", "HEAD") == commit
    assert ask_commit(f"{address}/hostile/.git", "main") == commit
    with pytest.raises(FetchError, match="has no branch or tag gone"):
        ask_commit(f"{address}/hostile/.git", "gone")
    with pytest.raises(FetchError, match="give a commit by all its digits, in lower case"):
        ask_commit(f"{address}/hostile/.git", commit[:8].upper())
    target = tmp_path / "clone"
    fetch(f"{address}/hostile/.git", commit, target)
    assert not ran.exists()
    assert (target / "a.py").read_bytes() == b"x = '$Id$'\n"
    assert not (target / "link.py").is_symlink()
    assert not any((target / "sub").iterdir())
    assert git(target, "rev-parse", "HEAD") == commit
    with pytest.raises(FetchError, match="can't be fetched"):
        fetch(f"{address}/hostile/.git", "2" * 40, target)


@serves_git
def test_a_small_pack_with_a_tree_of_giants_is_not_written(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tree names the one below it ten times: a few hundred bytes are 10,000 files."""
    address, served = server
    bomb = begin(served / "bomb")
    (bomb / "file").write_text("boom")
    below = f"100644 blob {git(bomb, 'hash-object', '-w', 'file')}"
    for _ in range(4):
        lines = "".join(f"{below}\tname-{number}\n" for number in range(10))
        below = f"040000 tree {git(bomb, 'mktree', text=lines)}"
    commit = git(bomb, "commit-tree", "-m", "bomb", below.split()[-1])
    git(bomb, "update-ref", "refs/heads/main", commit)
    target = tmp_path / "clone"
    monkeypatch.setattr(git_source, "MAX_LIST_BYTES", 100_000)
    with pytest.raises(FetchError, match="printed more than 100,000 bytes"):
        fetch(f"{address}/bomb/.git", commit, target)
    monkeypatch.setattr(git_source, "MAX_LIST_BYTES", 10_000_000)
    monkeypatch.setattr(git_source, "MAX_FILES_BYTES", 11_110 * 4_096 + 39_999)
    with pytest.raises(FetchError, match="its files and folders take 45,546,560 bytes"):
        fetch(f"{address}/bomb/.git", commit, target)
    assert [path.name for path in target.iterdir()] == [".git"]


def nest(repository: Path, name: str, depth: int) -> str:
    """The entry of an empty file below so many folders of one name, as `git mktree` reads it, without its own name."""
    (repository / "file").touch()
    below = f"100644 blob {git(repository, 'hash-object', '-w', 'file')}"
    for _ in range(depth):
        below = f"040000 tree {git(repository, 'mktree', text=below + chr(9) + name + chr(10))}"
    return below


@serves_git
def test_folders_count_as_files_do(server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One empty file below 90 folders, 20 times. Succeeds on 1e37c6c, where that was 20 files of 0 bytes."""
    address, served = server
    deep = begin(served / "deep")
    below = nest(deep, "d", 90)
    lines = "".join(f"{below}\t{number}\n" for number in range(20))
    commit = git(deep, "commit-tree", "-m", "deep", git(deep, "mktree", text=lines))
    git(deep, "update-ref", "refs/heads/main", commit)
    monkeypatch.setattr(git_source, "MAX_FILES_BYTES", 20 * 91 * 4_096 - 1)
    with pytest.raises(FetchError, match="its files and folders take 7,454,720 bytes"):
        fetch(f"{address}/deep/.git", commit, tmp_path / "clone")


@serves_git
def test_a_path_longer_than_systems_take_is_not_written(server: tuple[str, Path], tmp_path: Path) -> None:
    """Succeeds on 1e37c6c: git writes it, since its paths begin in the clone, and no later fleet can look at it."""
    address, served = server
    long = begin(served / "long")
    commit = git(long, "commit-tree", "-m", "long", nest(long, "n" * 250, 16).split()[-1])
    git(long, "update-ref", "refs/heads/main", commit)
    with pytest.raises(FetchError, match="a path of it has more than 500 bytes"):
        fetch(f"{address}/long/.git", commit, tmp_path / "clone")


@serves_git
def test_a_pack_of_any_size_is_not_written(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Succeeds on de82a37: the files were counted once the pack was there."""
    address, served = server
    large = begin(served / "large")
    (large / "noise.bin").write_bytes(os.urandom(300_000))
    git(large, "add", "-A")
    git(large, "commit", "-q", "-m", "first")
    target = tmp_path / "clone"
    monkeypatch.setattr(git_source, "MAX_FILES_BYTES", 100_000)
    with pytest.raises(FetchError, match="git fetch failed"):
        fetch(f"{address}/large/.git", git(large, "rev-parse", "HEAD"), target)
    assert all(path.stat().st_size <= 100_000 for path in target.rglob("*"))


@serves_git
@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("build", None, ""),
        ("log.jsonl", BuildError("Too little code."), "Too little code."),
        ("app", OSError(errno.ENOSPC, "No space left", "/d/x"), "No space left (/d/x); free space, or choose a folder"),
        ("app", MemoryError(), "there is not enough memory (a smaller base needs less); close other programs."),
    ],
)
def test_a_fetched_repository_is_built_and_its_files_do_not_stay(
    server: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: Exception | None,
    reason: str,
) -> None:
    """On 1e37c6c the files lay beside the build, under the repository's name, and stayed if the build failed."""
    address, served = server
    repository = begin(served / name)
    (repository / "a.py").write_text("x = 1\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "first")
    built: list[tuple[str, str]] = []

    def run_build(settings: BuildSettings, display: object) -> None:
        prepare_output(settings.output)
        built.append((settings.repository.name, (settings.repository / "a.py").read_text()))
        if error is not None:
            raise error

    monkeypatch.setattr("submodel.build.pipeline.run_build", run_build)
    monkeypatch.setattr("builder.bases.resolve.resolve_base", lambda *words, **options: SimpleNamespace(sha256="b"))
    commit = COMMIT + git(repository, "rev-parse", "HEAD")
    task = make_task(tmp_path / "work", name=name, source=f"{address}/{name}/.git", fingerprint=commit)
    outcome = build_repository(describe(task))
    assert built == [(name, "x = 1\n")]
    assert ("reason" in outcome) is (error is not None)
    assert reason in outcome.get("reason", "") and "defect" not in outcome.get("reason", "")
    left = sorted(path.name for path in (tmp_path / "work" / name).iterdir())
    assert left == ["build", "lock", "lock.json", "log.jsonl"]


def test_a_local_repository_is_not_reached_by_a_redirect_of_the_user_s_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`url.….insteadOf` may rewrite an address to a protocol that would run a program."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "ext::touch {tmp_path}/ran "]\n\tinsteadOf = https://host.invalid/\n[protocol]\n\tallow = always\n'
    )
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(FetchError, match="can't be fetched"):
        ask_commit("https://host.invalid/a.git", "HEAD")
    assert not (tmp_path / "ran").exists()


@serves_git
def test_https_does_not_become_http(server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Succeeds on 1e37c6c. A rewritten address is played: it is held to the same list as a redirect."""
    address, served = server
    begin(served / "app")
    (tmp_path / ".gitconfig").write_text(f'[url "{address}/"]\n\tinsteadOf = https://host.invalid/\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FetchError, match="transport 'http' not allowed"):
        ask_commit("https://host.invalid/app/.git", "HEAD")


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc",
        "ext::sh -c touch% /tmp/x",
        "git://host/a",
        "ftp://host/a",
        "https://",
        "ssh://-oProxyCommand=touch/x",
        "https://host/a\nb",
        "https://token@host/a",
        "https://user:password@host/a",
        "ssh://git:password@host/a",
        "https://[::1/a",
    ],
)
def test_addresses_that_git_is_not_given(address: str) -> None:
    assert is_address(address)
    with pytest.raises(FetchError) as raised:
        check_address(address)
    assert "password@" not in str(raised.value) and "token@" not in str(raised.value)


@pytest.mark.parametrize(
    "address", ["https://host/a.git", "http://host:8080/a", "ssh://git@host/a", "git@host:team/a.git"]
)
def test_addresses_that_it_is(address: str) -> None:
    assert is_address(address)
    check_address(address)


def test_folders_are_no_addresses_and_no_option_is_one() -> None:
    assert not any(
        map(is_address, ["../a", "/srv/a", "C:\\code\\a", "C:/code/a", "host:a", "--upload-pack=x", "-a@b:c"])
    )
    assert without_password("https://u:p@host/a@b") == "https://host/a@b"

"""The corpus of real folders: what gets in, what stays out and is counted, and what is said of bad input."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.corpus.corpus import Corpus, CorpusSettings, read_corpus
from contract.errors import CorpusError
from contract.repository import texts
from contract.repository.reading import SourceReader
from testbed.git import git


@pytest.fixture(autouse=True)
def _own_git_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def make_code(seed: int, line_count: int = 40) -> str:
    return "".join(f"value_{seed}_{line} = compute_{line}(argument_{seed})\n" for line in range(line_count))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Forty Python files of about 1,500 bytes, each unlike the others."""
    root = tmp_path / "repo"
    for seed in range(40):
        file = root / "package" / f"module_{seed}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(make_code(seed))
    return root


def paths_of(corpus: Corpus) -> set[str]:
    return {file.path for file in corpus.files}


def test_a_repository_is_read_split_and_summed_up(repository: Path) -> None:
    (repository / "README.md").write_text("# A package\n")
    corpus = read_corpus(repository)
    assert len(corpus.files) == 41
    assert [file.path for file in corpus.files] == sorted(file.path for file in corpus.files)
    assert corpus.skipped == {}
    for split in ("calibration", "validation", "held-out"):
        assert corpus.select(split)
    assert "README.md" not in {file.path for file in corpus.select("calibration", code_only=True)}

    summary = json.loads(json.dumps(corpus.summary()))
    assert summary["files"] == 41
    assert summary["bytes"] == sum(len(file.text.encode()) for file in corpus.files)
    assert summary["languages"]["Python"]["files"] == 40
    assert summary["languages"]["Markdown"] == {
        "kind": "text",
        "files": 1,
        "bytes": {"calibration": 12, "validation": 0, "held-out": 0},
    }
    held_out = corpus.select("held-out")
    assert summary["splits"]["held-out"]["code_bytes"] == sum(file.size_bytes for file in held_out)
    assert all(file.is_code for file in held_out)


def test_reading_tells_how_far_it_is(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "REPORT_EVERY", 16)
    monkeypatch.setattr(texts, "REPORT_EVERY_S", math.inf)
    seen: list[tuple[int, int]] = []
    read_corpus(repository, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 40), (16, 40), (32, 40)]
    monkeypatch.setattr(texts, "REPORT_EVERY_S", 0.0)
    seen.clear()
    read_corpus(repository, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 40) for number in range(40)], "also after each file, if each takes so long"


def test_git_and_no_git_give_the_same_corpus(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log.py\n/out/\n")
    (repository / "a.log.py").write_text(make_code(100))
    (repository / "out").mkdir()
    (repository / "out" / "x.py").write_text(make_code(101))
    (repository / "package" / "build").mkdir()
    (repository / "package" / "build" / "x.py").write_text(make_code(102))
    walked = read_corpus(repository)
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    listed = read_corpus(repository)
    assert (walked.listed_by, listed.listed_by) == ("walk", "git")
    assert walked.files == listed.files
    assert walked.fingerprint == listed.fingerprint
    assert len(walked.files) == 40
    subprocess.run(["git", "add", "--force", "package/build"], cwd=repository, check=True)
    assert len(read_corpus(repository).files) == 41, "but for a folder `build` that git tracks"


def test_line_ends_names_and_places_do_not_move_a_file(repository: Path, tmp_path: Path) -> None:
    before = {file.sha256: file.split for file in read_corpus(repository).files}
    for file in list((repository / "package").iterdir()):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        file.rename(repository / f"renamed_{file.name}")
    repository.rename(tmp_path / "elsewhere")
    after = read_corpus(tmp_path / "elsewhere")
    assert {file.sha256: file.split for file in after.files} == before
    assert not any("\r" in file.text for file in after.files)


def test_the_fingerprint_follows_the_texts(repository: Path) -> None:
    first = read_corpus(repository).fingerprint
    assert read_corpus(repository).fingerprint == first
    (repository / "package" / "module_0.py").write_text(make_code(1000))
    assert read_corpus(repository).fingerprint != first


def test_every_reason_is_counted(repository: Path) -> None:
    files: dict[str, bytes] = {
        "image.png": b"\x89PNG\0",
        "nul.py": b"a = 1\0",
        "latin.py": "é".encode("latin-1"),
        "wide.sql": "SELECT 1;\n".encode("utf-16"),
        "empty.py": b"\n",
        "api_pb2.py": b"x = 1\n",
        "made.py": b"# Code generated by us. DO NOT EDIT.\n",
        "vendor/x.py": b"x = 1\n",
        "site.min.js": b"x\n",
        "bundle.js": b"x=1;" * 3000,
        "yarn.lock": b"a\n",
        "LICENSE": b"words\n",
        "big.py": b"x = 1\n" * 50_000,
        "copy.py": (repository / "package" / "module_0.py").read_bytes(),
        "inner/.git/config": b"",
    }
    for path, content in files.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_bytes(content)
    corpus = read_corpus(repository)
    assert corpus.skipped == {
        "binary": 2,
        "not UTF-8": 2,
        "empty": 1,
        "generated": 2,
        "vendored": 1,
        "minified": 2,
        "lock file": 1,
        "unknown type": 1,
        "too large": 1,
        "duplicate": 1,
    }
    assert len(corpus.files) == 40


@pytest.mark.skipif(sys.platform != "linux", reason="macOS takes UTF-8 names alone, Windows has no named pipes")
def test_links_pipes_and_odd_names(repository: Path, tmp_path: Path) -> None:
    """None of them is followed or waited for; those that would hang must not."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.py").write_text("outside = True\n" * 100)
    (repository / "out.py").symlink_to(outside / "private.py")
    (repository / "out").symlink_to(outside)
    (repository / "zero.py").symlink_to("/dev/zero")
    (repository / "loop").symlink_to(repository)
    (repository / "self.py").symlink_to("self.py")
    (repository / "gone.py").symlink_to("nowhere.py")
    (repository / "again.py").symlink_to("package/module_0.py")
    os.mkfifo(repository / "pipe.py")
    (repository / "odd name ü\n'\".py").write_text(make_code(200))
    (repository / os.fsdecode(b"caf\xe9.py")).write_text(make_code(201))
    corpus = read_corpus(repository)
    assert len(corpus.files) == 41
    assert "odd name ü\n'\".py" in paths_of(corpus)
    assert corpus.skipped == {
        "link outside": 2,  # out.py and zero.py
        "broken link": 2,
        "link": 1,
        "not a file": 1,
        "name not UTF-8": 1,
        "unknown type": 2,  # the links to folders have no extension
    }
    assert not any("outside" in file.text for file in corpus.files)


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_a_folder_that_became_a_link_is_not_entered(repository: Path, tmp_path: Path) -> None:
    """As git lists it: its index still holds the files below the folder that is now a link out of the tree."""
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    (repository / "package").rename(tmp_path / "private")
    (repository / "package").symlink_to(tmp_path / "private")
    for seed in range(100, 140):
        (repository / f"other_{seed}.py").write_text(make_code(seed))
    corpus = read_corpus(repository)
    assert corpus.listed_by == "git"
    assert corpus.skipped["link outside"] == 40
    assert len(corpus.files) == 40


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no path may be so long")
def test_a_tree_deeper_than_the_stack(repository: Path) -> None:
    folder = repository
    for _ in range(1500):
        folder = folder / "d"
        folder.mkdir()
    (folder / "deep.py").write_text(make_code(300))
    try:
        corpus = read_corpus(repository)
        assert len(corpus.files) == 40
        assert corpus.skipped == {"unreadable": 1}, "a walk ends at a hundred levels, and says so"
    finally:
        subprocess.run(["rm", "-rf", repository / "d"], check=True)  # pytest's own clearing up recurses


def test_files_that_vanish_are_counted(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = SourceReader.read

    def read_after_removal(self: SourceReader, path: str) -> bytes:
        if path.endswith("7.py"):
            (repository / path).unlink()
        return read(self, path)

    monkeypatch.setattr(SourceReader, "read", read_after_removal)
    corpus = read_corpus(repository)
    assert corpus.skipped == {"deleted": 4}
    assert len(corpus.files) == 36


def test_a_file_that_grows_is_read_no_further_than_the_limit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = repository / "package" / "module_0.py"
    lstat, fstat = os.lstat, os.fstat
    monkeypatch.setattr(os, "fstat", lambda descriptor: _grow(target, fstat(descriptor)))
    corpus = read_corpus(repository)
    monkeypatch.undo()
    assert lstat(target).st_size > CorpusSettings().max_file_bytes
    assert corpus.skipped == {"too large": 1}


def _grow(target: Path, status: os.stat_result) -> os.stat_result:
    if status.st_ino == target.stat().st_ino:
        with target.open("a") as file:
            file.write("x = 1\n" * 100_000)
    return status


def test_the_total_is_capped_in_an_order_of_its_own(repository: Path) -> None:
    corpus = read_corpus(repository, CorpusSettings(max_total_bytes=30_000, min_calibration_bytes=10_000))
    assert 30_000 <= corpus.summary()["bytes"] < 33_000
    assert corpus.skipped["over the total limit"] == 40 - len(corpus.files)
    assert paths_of(corpus) != set(sorted(f"package/module_{seed}.py" for seed in range(40))[: len(corpus.files)])


def test_a_limit_cuts_data_before_code(repository: Path) -> None:
    for number in range(200):
        (repository / f"label_{number}.json").write_text(f'{{"label": {number}}}\n' * 20)
    corpus = read_corpus(repository, CorpusSettings(max_files=60))
    assert {f"package/module_{seed}.py" for seed in range(40)} < paths_of(corpus)
    assert len(corpus.files) == 60


def test_it_says_what_it_has_read_and_left_out(repository: Path) -> None:
    assert re.fullmatch(r"Read 40 files, \d+ KB \(100 % Python\)\.", read_corpus(repository).say_read())
    (repository / "node_modules").mkdir()
    (repository / "node_modules" / "a.js").write_text("x\n")
    for number in range(60):
        (repository / f"alu_{number}.abap").write_text("WRITE x.\n")
    for number in range(5):
        (repository / f"latin_{number}.py").write_bytes("é".encode("latin-1"))
    said = read_corpus(repository, CorpusSettings(max_files=44, min_calibration_bytes=10_000)).say_read()
    assert re.search(r"; left out: 60 of unknown type \(\.abap\), \d+ not UTF-8", said)
    assert "1 vendored" in said
    assert "1 over the limit of files" in said


def test_no_more_files_are_opened_than_the_limit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million tiny files stay under every limit of bytes."""
    opened: list[str] = []
    read = SourceReader.read
    monkeypatch.setattr(SourceReader, "read", lambda self, path: (read(self, path), opened.append(path))[0])
    corpus = read_corpus(repository, CorpusSettings(max_files=30, min_calibration_bytes=10_000))
    assert len(opened) == len(corpus.files) == 30
    assert corpus.skipped == {"over the limit of files": 10}


def test_files_that_a_sparse_checkout_leaves_out_take_no_place(repository: Path) -> None:
    git(repository, "init")
    git(repository, "add", "--all")
    listed = sorted(path for path in repository.rglob("*.py"))
    for path in listed[5:]:
        git(repository, "update-index", "--skip-worktree", path.relative_to(repository).as_posix())
        path.unlink()
    found = texts.read_repository(repository, texts.ReadingSettings(max_files=10))
    assert found.texts.keys() == {path.relative_to(repository).as_posix() for path in listed[:5]}
    assert found.skipped == {"not checked out": 35}


def test_repositories_inside_are_counted_as_such(repository: Path) -> None:
    git(repository, "init")
    for inner in ("libs/submodule", "untracked"):
        (repository / inner).mkdir(parents=True)
        git(repository / inner, "init")
        git(repository / inner, "commit", "--allow-empty", "-m", "first")
    (repository / "LICENSE").write_text("words\n")
    git(repository, "add", "package", "libs/submodule", "LICENSE")
    corpus = read_corpus(repository)
    assert len(corpus.files) == 40
    assert corpus.skipped == {"nested repository": 2, "unknown type": 1}


def test_a_file_of_gigabytes_is_never_opened(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = repository / "package" / "huge.py"
    with huge.open("wb") as file:
        file.truncate(2 << 30)  # sparse
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: (opened.append(str(path)), real(path, *rest, **more))[1]
    )
    assert read_corpus(repository).skipped == {"too large": 1}
    assert str(huge) not in opened


def make_secrets() -> dict[str, str]:
    """Drawn at run time, so that no real form lies in this file."""
    draw = random.Random(5)
    alnum = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

    def some(count: int, alphabet: str = alnum) -> str:
        return "".join(draw.choices(alphabet, k=count))

    return {
        "AWS key": "AKIA" + some(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
        "GitHub token": "ghp_" + some(36),
        "GitLab token": "glpat-" + some(20),
        "Slack token": "xoxb-" + some(12, "123456789") + "-" + some(24),
        "Stripe key": "sk_live_" + some(24),
        "OpenAI key": "sk-proj-" + some(60),
        "Anthropic key": "sk-ant-api03-" + some(80),
        "Google key": "AIza" + some(35),
        "npm token": "npm_" + some(36),
        "PyPI token": "pypi-AgEIcHlwaS5vcmc" + some(80),
        "JWT": f"eyJ{some(30)}.eyJ{some(40)}.{some(43)}",
        "password in a URL": "postgres://ada:" + some(14) + "@db.internal/app",
        "password": 'password = "' + some(12) + '!7aQ"',
        "secret value": 'API_SECRET = "' + some(40) + '"',
    }


def test_planted_secrets_never_reach_the_corpus(repository: Path) -> None:
    secrets = make_secrets()
    key_body = ["MIIE" + str(number) * 60 for number in range(10, 20)]
    for number, line in enumerate(secrets.values()):
        target = repository / "package" / f"module_{number}.py"
        assigned = line if " = " in line else f'CONSTANT = "{line}"'
        target.write_text(target.read_text() + assigned + "\n" + f"# {line}\n")
    block = ["-----BEGIN RSA PRIVATE KEY-----", *key_body, "-----END RSA PRIVATE KEY-----"]
    (repository / "key.yaml").write_text("key: |\n" + "".join(f"  {line}\n" for line in block) + "after: 1\n")
    corpus = read_corpus(repository)
    everything = "\n".join(file.text for file in corpus.files)
    for kind, line in secrets.items():
        secret = line.split('"')[1] if '"' in line else line
        assert secret not in everything, kind
    assert not any(line in everything for line in [*block, *key_body])
    assert corpus.secret_lines == {**dict.fromkeys(secrets, 2), "private key": 12}
    assert len(corpus.files) == 41


def test_the_hash_of_a_file_does_not_give_its_secret_away(repository: Path) -> None:
    target = repository / "package" / "module_0.py"
    clean = target.read_text()
    without = read_corpus(repository).files
    target.write_text(clean + make_secrets()["password"] + "\n")
    assert read_corpus(repository).files == without


def expect_error(root: Path, *words: str) -> str:
    with pytest.raises(CorpusError) as caught:
        read_corpus(root)
    message = str(caught.value)
    assert str(root) in message
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def test_no_folder(tmp_path: Path) -> None:
    expect_error(tmp_path / "nowhere", "no folder")


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("x = 1\n")
    expect_error(tmp_path / "file.py", "not a folder")


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_a_folder_that_is_a_loop(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    expect_error(tmp_path / "loop", "can't be read")


def test_an_empty_repository(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    expect_error(tmp_path / "repo", "empty")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "repo", check=True)
    expect_error(tmp_path / "repo", "empty")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder beside the home folder, which no repository may hold."""
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository"


def test_a_binary_repository(root: Path) -> None:
    for number in range(3):
        (root / f"{number}.png").write_bytes(b"\x89PNG\0")
    (root / "x.py").write_bytes(b"\0" * 100)
    expect_error(root, "no text file", "4 binary")


def test_a_repository_too_small_says_what_it_has_and_the_least(root: Path) -> None:
    for seed in range(3):
        (root / f"{seed}.py").write_text(make_code(seed))
    (root / "latin.py").write_bytes("é".encode("latin-1"))
    expect_error(root, "too small", "3 files of code", "20,000 bytes", "2,000 bytes", "(left out: 1 not UTF-8)")


def test_a_repository_of_copies_is_too_small(root: Path) -> None:
    for seed in range(60):
        (root / f"{seed}.py").write_text(make_code(0, 30) + f"own_line_of_{seed} = 1\n")
    expect_error(root, "60 files of code", "no copies of one another")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may look for: pytest's own are the user's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def as_somebody_else(root: Path, *words: str) -> None:
    if os.geteuid() != 0:
        expect_error(root, *words)
        return
    os.seteuid(65534)  # root may read everything
    try:
        expect_error(root, *words)
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
def test_a_folder_without_permission(open_folder: Path) -> None:
    (open_folder / "repo").mkdir(mode=0o000)
    as_somebody_else(open_folder / "repo", "can't be read", "Permission denied")


@pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
def test_files_and_folders_without_permission_are_counted(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o000)
    for number in range(2):
        (open_folder / f"{number}.py").write_text(make_code(number))
        (open_folder / f"{number}.py").chmod(0o000)
    as_somebody_else(open_folder, "3 unreadable")


def test_settings_are_checked() -> None:
    with pytest.raises(CorpusError):
        CorpusSettings(max_file_bytes=0)

"""Listing: git's own list and the walk agree, and neither runs, follows or waits for what a stranger put there."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import CorpusError
from contract.files.file_names import is_link
from contract.repository import git, reading
from contract.repository import listing as listing_module
from contract.repository.git import GitError, git_environment
from contract.repository.ignore_rules import IgnoreRules
from contract.repository.listing import ListingLimits, filtered_files, list_files
from contract.repository.reading import SourceReader, Unreadable
from contract.repository.texts import read_repository, weigh_repository
from testbed.git import git as run_git
from testbed.git import write_files

JUNCTION = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT


@pytest.fixture(autouse=True)
def _own_git_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


TREE = {
    "main.py": "",
    ".gitignore": "*.log\n/secret/\nbuild/\n!keep.log\n",
    "a.log": "",
    "keep.log": "",
    "secret/x.py": "",
    "other/secret/x.py": "",
    "sub/build/x.py": "",
    "sub/.gitignore": "*.py\n!keep.py\n",
    "sub/keep.py": "",
    "sub/drop.py": "",
    "sub/deep/drop.py": "",
    "sub/deep/.gitignore": "!drop.py\n",
    ".submodel/model/x.json": "",
    "sub/.submodel/x.json": "",
    "odd name/ü 'quoted' \"twice\".py": "",
    "odd name/-dash.py": "",
    "odd name/new\nline.py": "",
}
LISTED = {
    "main.py",
    ".gitignore",
    "keep.log",
    "other/secret/x.py",
    "sub/.gitignore",
    "sub/keep.py",
    "sub/deep/drop.py",
    "sub/deep/.gitignore",
    "odd name/ü 'quoted' \"twice\".py",
    "odd name/-dash.py",
    "odd name/new\nline.py",
}


def test_the_walk_obeys_nested_ignore_rules(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    write_files(root, TREE)
    listing = list_files(root)
    assert listing.source == "walk"
    assert set(listing.paths) == LISTED
    assert list(listing.paths) == sorted(listing.paths)


def test_a_byte_order_mark_before_the_rules_is_passed_over(tmp_path: Path) -> None:
    write_files(tmp_path / "repo", {"private/a.py": "", "a.py": ""})
    (tmp_path / "repo" / ".gitignore").write_bytes(b"\xef\xbb\xbfprivate/\r\n")
    walked = list_files(tmp_path / "repo")
    run_git(tmp_path, "init", "-q", "repo")
    assert (walked.source, walked.paths) == ("walk", (".gitignore", "a.py"))
    assert set(list_files(tmp_path / "repo").paths) == set(walked.paths)


def test_git_lists_the_same_staged_or_not(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    write_files(root, TREE)
    run_git(tmp_path, "init", "-q", "repo")
    unstaged = list_files(root)
    run_git(root, "add", "main.py", "sub")
    assert unstaged.source == "git"
    assert set(unstaged.paths) == set(list_files(root).paths) == LISTED


def test_a_tracked_file_is_listed_though_it_is_ignored(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    write_files(root, {".gitignore": "*.log\n", "tracked.log": "", "other.log": ""})
    run_git(tmp_path, "init", "-q", "repo")
    run_git(root, "add", "-f", "tracked.log")
    assert list_files(root).paths == (".gitignore", "tracked.log")


def test_a_folder_inside_a_repository_gives_its_own_files(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"repo/top.py": "", "repo/sub/in.py": "", "repo/.gitignore": "sub/out.py\n", "repo/sub/out.py": ""}
    )
    run_git(tmp_path, "init", "-q", "repo")
    listing = list_files(tmp_path / "repo" / "sub")
    assert listing.source == "git"
    assert listing.paths == ("in.py",)


def test_a_source_distribution_in_an_ignored_folder_is_walked(tmp_path: Path) -> None:
    write_files(tmp_path, {"repo/.gitignore": "downloads/\n", "repo/downloads/flask/app.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    listing = list_files(tmp_path / "repo" / "downloads" / "flask")
    assert listing.source == "walk"
    assert listing.paths == ("app.py",)


@pytest.mark.skipif(sys.platform == "win32", reason="git is replaced by a shell script")
def test_what_git_has_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ssh that waits for its server keeps git's pipes open."""
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\nsleep 600 &\necho $! > child\nwait\n")
    script.chmod(0o700)
    monkeypatch.setattr(git, "find_program", lambda name: str(script))
    began = time.monotonic()
    with pytest.raises(git.GitError, match="took more than"):
        git.run_git(tmp_path, "fetch", timeout_s=10)
    child = int((tmp_path / "child").read_text())
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() - began < 300
            time.sleep(0.05)


def test_without_git_the_repository_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"repo/main.py": "", "repo/.gitignore": "*.log\n", "repo/a.log": ""})
    run_git(tmp_path, "init", "-q", "repo")
    monkeypatch.setenv("PATH", str(tmp_path))
    listing = list_files(tmp_path / "repo")
    assert listing.source == "walk"
    assert listing.paths == (".gitignore", "main.py")


@pytest.mark.parametrize("broken", ["", "gitdir: /nowhere\n", "\0"])
def test_a_git_file_that_leads_nowhere_is_walked(tmp_path: Path, broken: str) -> None:
    write_files(tmp_path / "repo", {"main.py": "", ".git": broken})
    assert list_files(tmp_path / "repo").paths == ("main.py",)


def test_another_repository_inside_is_one_entry_for_git(tmp_path: Path) -> None:
    write_files(tmp_path / "repo", {"main.py": "", "inner/main.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    run_git(tmp_path / "repo", "init", "-q", "inner")
    assert list_files(tmp_path / "repo").paths == ("inner", "main.py")


def test_the_walk_leaves_out_another_repository_inside_and_says_why_git_did_not_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "repo", {"main.py": "", "inner/main.py": "", "inner/sub/a.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    run_git(tmp_path / "repo", "init", "-q", "inner")

    def fails(*_: object) -> bytes:
        raise GitError("git ls-files failed: dubious ownership")

    monkeypatch.setattr(listing_module, "run_git", fails)
    listing = list_files(tmp_path / "repo")
    assert (listing.paths, listing.git_problem) == (("main.py",), "git ls-files failed: dubious ownership")
    of_several = list_files(tmp_path)  # no repository itself, so that nothing is wrong
    assert (of_several.paths, of_several.git_problem) == (
        ("repo/inner/main.py", "repo/inner/sub/a.py", "repo/main.py"),
        "",
    )


def test_a_folder_in_a_repository_is_walked_by_the_rules_above_it_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {".gitignore": "*.log\n/sub/out.py\nvendor/\n", "sub/in.py": "", "sub/out.py": "", "sub/a.log": ""}
    write_files(tmp_path / "repo", {**files, "sub/deep/x.py": "", "vendor/pkg/a.py": "", "vendor/pkg/a.log": ""})
    run_git(tmp_path, "init", "-q", "repo")

    def fails(*_: object) -> bytes:
        raise GitError("git ls-files failed: dubious ownership")

    monkeypatch.setattr(listing_module, "run_git", fails)
    listing = list_files(tmp_path / "repo" / "sub")
    assert (listing.paths, listing.git_problem) == (("deep/x.py", "in.py"), "git ls-files failed: dubious ownership")
    assert list_files(tmp_path / "repo" / "vendor" / "pkg").paths == ("a.log", "a.py"), "no part of the repository"
    monkeypatch.setattr("contract.files.home.holds_home", lambda folder: folder == tmp_path / "repo")
    assert list_files(tmp_path / "repo" / "sub").git_problem == "", "the search ends below the home folder"


def test_git_tells_what_it_tracks(tmp_path: Path) -> None:
    write_files(tmp_path / "repo", {"main.py": "", "pkg/build/a.py": "", "new.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    run_git(tmp_path / "repo", "add", "main.py", "pkg")
    assert list_files(tmp_path / "repo").tracked == {"main.py", "pkg/build/a.py"}


@pytest.mark.skipif(os.name != "posix", reason="the hostile program is a shell script")
def test_nothing_of_the_repository_s_configuration_is_run(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    write_files(root, {"main.py": "", "x.bin": "", ".gitattributes": "* filter=evil diff=evil\n"})
    run_git(tmp_path, "init", "-q", "repo")
    witness = tmp_path / "witness"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{witness}'\n")
    program.chmod(0o755)
    for name in ("post-index-change", "post-checkout", "fsmonitor-watchman"):
        hook = root / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(program.read_text())
        hook.chmod(0o755)
    run_git(root, "add", "main.py")
    settings_of_evil = {
        "core.fsmonitor": str(program),
        "core.pager": str(program),
        "core.sshCommand": str(program),
        "core.gitProxy": str(program),
        "core.editor": str(program),
        "filter.evil.clean": str(program),
        "filter.evil.process": str(program),
        "diff.evil.command": str(program),
        "alias.ls-files": f"!{program}",
        "alias.rev-parse": f"!{program}",
        "remote.origin.url": f"ext::{program}",
        "remote.origin.uploadpack": str(program),
        "remote.origin.promisor": "true",
        "credential.helper": str(program),
        "core.askPass": str(program),
        "core.alternateRefsCommand": str(program),
        "diff.external": str(program),
        "gpg.program": str(program),
        "log.showSignature": "true",
        "uploadpack.packObjectsHook": str(program),
    }
    run_git(root, "config", "core.fsmonitor", str(program))
    witness.unlink(missing_ok=True)
    run_git(root, "ls-files", "--others")
    assert witness.exists(), "the trap is set: a plain git runs the program"
    for name, value in settings_of_evil.items():
        run_git(root, "config", name, value)
    witness.unlink(missing_ok=True)
    listing = list_files(root)
    assert listing.source == "git"
    assert set(listing.paths) == {".gitattributes", "main.py", "x.bin"}
    assert not witness.exists()


def test_git_is_called_without_what_the_caller_s_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, {"repo/main.py": "", "other/private.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    run_git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert list_files(tmp_path / "repo").paths == ("main.py",)
    assert not {"GIT_DIR", "GIT_WORK_TREE", "GIT_EXTERNAL_DIFF"} & git_environment().keys()


def test_what_the_user_s_own_configuration_ignores_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, {"repo/main.py": "", "repo/private.py": "", "ignore": "private.py\n"})
    run_git(tmp_path, "init", "-q", "repo")
    (tmp_path / "config").write_text(f"[core]\n\texcludesFile = {(tmp_path / 'ignore').as_posix()}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "config")
    assert list_files(tmp_path / "repo").paths == ("main.py", "private.py"), "it could lie in the repository"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert list_files(tmp_path / "repo").paths == ("main.py",)


# How an owner names what git-crypt or another filter encrypts: attributes by place. Unlocked, it is plain text.
SEALED = [
    {".gitattributes": "*.bin filter=lfs\n*.py -filter\n*.yaml filter=git-crypt diff=git-crypt\n"},
    {".gitattributes": "*.yaml filter=git-crypt-team\n"},
    {".gitattributes": "*.yaml filter=ours\n"},  # whose program .git/config names
    {".gitattributes": "[attr]sealed filter=crypt diff=crypt\n*.yaml sealed\n"},
    {"sub/.gitattributes": "*.yaml filter=git-crypt\n"},
    {".gitattributes": "*.yaml filter=git-crypt\n" + "# x\n" * (80 << 10)},
    {".gitattributes": "*.yaml filter=git-crypt\n", ".gitignore": ".gitattributes\n"},
    {".git/info/attributes": "*.yaml filter=git-crypt\n"},
]


@pytest.fixture(params=SEALED, ids=range(len(SEALED)))
def sealed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    names = ["main.py", "sub/keys.yaml", "sub/data.bin"]
    write_files(tmp_path / "all" / "repo", {each: f"x = {each}\n" for each in names})
    run_git(tmp_path, "init", "-q", "all/repo")
    write_files(tmp_path / "all" / "repo", request.param)
    return tmp_path / "all" / "repo"


def test_what_git_encrypts_is_not_read(sealed: Path) -> None:
    assert filtered_files(sealed, ["main.py", "sub/keys.yaml", "sub/data.bin"]) == {"sub/keys.yaml"}
    reading = read_repository(sealed)
    assert list(reading.texts) == ["main.py"]
    assert reading.skipped["under a filter of git"] == 1
    assert weigh_repository(sealed).skipped["under a filter of git"] == 1
    assert not read_repository(sealed / "sub").texts


def test_where_git_lists_nothing_a_folder_with_encrypted_files_is_not_read(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read on 2e053804: without git, attributes above the folder, in .git/info, in a file that is ignored or large."""
    with pytest.raises(CorpusError, match=r"attributes names files that git may encrypt"):
        read_repository(sealed.parent)
    monkeypatch.setenv("PATH", "")
    for folder in (sealed, sealed / "sub"):
        with pytest.raises(CorpusError, match=r"attributes names files that git may encrypt"):
            read_repository(folder)


def test_what_the_user_s_own_attributes_encrypt_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "repo", {"main.py": "x = 1\n", "keys.yaml": "x: 1\n"})
    run_git(tmp_path, "init", "-q", "repo")
    (tmp_path / "attributes").write_text("*.yaml filter=git-crypt\n")
    (tmp_path / "config").write_text(f"[core]\n\tattributesFile = {(tmp_path / 'attributes').as_posix()}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert list(read_repository(tmp_path / "repo").texts) == ["main.py"]


def test_where_git_can_t_tell_what_it_encrypts_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"main.py": "x = 1\n"})
    run_git(tmp_path, "init", "-q")

    def fail(*_: object) -> NoReturn:
        raise GitError("git check-attr failed")

    monkeypatch.setattr("contract.repository.texts.filtered_files", fail)
    with pytest.raises(CorpusError, match=r"which files of .* it encrypts"):
        read_repository(tmp_path)


def test_an_index_that_is_damaged_or_hostile_is_walked_around(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    write_files(root, {"main.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    run_git(root, "add", "main.py")
    (root / ".git" / "index").write_bytes(b"DIRC\0\0\0\2\xff\xff\xff\xff" + bytes(200))
    assert list_files(root).paths == ("main.py",)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_a_pipe_that_git_would_wait_for_holds_nothing_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repo"
    write_files(root, {"main.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    os.mkfifo(tmp_path / "pipe")
    run_git(root, "config", "core.excludesFile", str(tmp_path / "pipe"))
    monkeypatch.setattr(listing_module, "run_git", lambda *arguments: git.run_git(*arguments, timeout_s=0.5))
    assert list_files(root).paths == ("main.py",)


def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    write_files(tmp_path / "repo", {f"file_{number}.py": "" for number in range(50)})
    run_git(tmp_path, "init", "-q", "repo")
    with pytest.raises(git.GitError, match="more than 100 bytes"):
        git.run_git(tmp_path / "repo", "ls-files", "--others", max_bytes=100)


def test_a_git_folder_elsewhere_gives_no_files_of_elsewhere(tmp_path: Path) -> None:
    """`.git` as a file: a worktree or a submodule, or a stranger's pointer to another repository of this user."""
    write_files(tmp_path, {"private/secret.py": "", "repo/main.py": ""})
    run_git(tmp_path, "init", "-q", "private")
    run_git(tmp_path / "private", "add", ".")
    (tmp_path / "repo" / ".git").write_text(f"gitdir: {tmp_path}/private/.git\n")
    reader = SourceReader(tmp_path / "repo", max_bytes=100)
    paths = list_files(tmp_path / "repo").paths
    assert "main.py" in paths
    for path in set(paths) - {"main.py"}:  # names of the other's index may be listed, but nothing is there to read
        with pytest.raises(Unreadable):
            reader.read(path)


def test_a_submodule_is_one_entry_and_its_configuration_is_not_asked(tmp_path: Path) -> None:
    root, witness = tmp_path / "repo", tmp_path / "witness"
    write_files(tmp_path, {"repo/main.py": "", "repo/inner/main.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    run_git(root, "init", "-q", "inner")
    run_git(root / "inner", "add", ".")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    run_git(root / "inner", *identity, "commit", "-qm", "x")
    run_git(root, "add", "main.py")
    run_git(root, "-c", "advice.addEmbeddedRepo=false", "add", "inner")
    run_git(root / "inner", "config", "core.fsmonitor", f"touch {witness}; false")
    assert list_files(root).paths == ("inner", "main.py")
    assert not witness.exists()


def test_a_work_tree_named_elsewhere_is_not_believed(tmp_path: Path) -> None:
    write_files(tmp_path, {"repo/main.py": "", "elsewhere/private.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    run_git(tmp_path / "repo", "config", "core.worktree", str(tmp_path / "elsewhere"))
    assert list_files(tmp_path / "repo").paths == ("main.py",)


@pytest.mark.parametrize("above", [False, True])
def test_a_work_tree_above_is_believed_and_one_below_is_not(tmp_path: Path, above: bool) -> None:
    write_files(tmp_path, {"repo/main.py": "", "repo/sub/a.py": "", "b.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    named = tmp_path if above else tmp_path / "repo" / "sub"
    run_git(tmp_path / "repo", "config", "core.worktree", str(named))
    assert list_files(tmp_path / "repo").source == ("git" if above else "walk")


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_links_are_listed_and_never_entered(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    write_files(root, {"sub/main.py": ""})
    (root / "loop").symlink_to(root)
    (root / "sub" / "up").symlink_to("..")
    (root / "out").symlink_to("/etc")
    assert list_files(root).paths == ("loop", "out", "sub/main.py", "sub/up")


def test_costly_and_broken_patterns_are_passed_over(tmp_path: Path) -> None:
    """A pattern that backtracks over a long name, or over several, would not end."""
    rules = "*" + "a*" * 40 + "b\n" + "a**" * 30 + "\n" + "*a*/" * 6 + "x\n[\n!\n\\\n/\n*.log\n"
    deep = "/".join(["a" * 70] * 6) + "/y"
    write_files(tmp_path / "repo", {".gitignore": rules, "b" * 200: "", deep: "", "x.log": "", "main.py": ""})
    assert list_files(tmp_path / "repo").paths == (".gitignore", deep, "b" * 200, "main.py")


def test_a_walk_does_not_follow_folders_without_end(tmp_path: Path) -> None:
    """The time of one pattern on one path grows with a power of the path's depth."""
    write_files(tmp_path / "repo", {".gitignore": "**/a/**/a/**/b\n", "main.py": "", f"{'a/' * 120}x.py": ""})
    listing = list_files(tmp_path / "repo")
    assert listing.paths == (".gitignore", "main.py")
    assert listing.unreadable_folders == 1


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_ignore_rules_that_are_no_file_are_passed_over(tmp_path: Path) -> None:
    write_files(tmp_path / "repo", {"main.py": "", "sub/x.py": ""})
    os.mkfifo(tmp_path / "repo" / ".gitignore")
    (tmp_path / "repo" / "sub" / ".gitignore").symlink_to("/dev/zero")
    assert list_files(tmp_path / "repo").paths == (".gitignore", "main.py", "sub/.gitignore", "sub/x.py")


NAMES = st.sampled_from(["a", "b", "c.py", "d.log", "build"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
PATTERN_WORDS = r"""
    a a/ /a a/b !a !a/ !a/b !b/a b/ build/ !build/ *.py *.log !*.py !c.py [bc]* ?.py /* !/a/ a/* * !*/ */ # \a
    **/b !**/b b/** !b/** /a/** ** **/ a/**/c.py
"""
PATTERNS = st.sampled_from([*PATTERN_WORDS.split(), "", "d.log ", "d.log\\ "])


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(PATHS, min_size=1, max_size=12),
    st.dictionaries(PATHS | st.just(""), st.lists(PATTERNS, max_size=4), max_size=3),
)
def test_the_walk_agrees_with_git(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], rules: dict[str, list[str]]
) -> None:
    root = tmp_path_factory.mktemp("repo")
    run_git(root, "init", "-q")
    folders = {""} | {path.rsplit("/", 1)[0] for path in files if "/" in path}
    for path in sorted(files, key=len, reverse=True):
        if not (root / path).exists() and not any((root / parent).is_file() for parent in Path(path).parents):
            write_files(root, {path: ""})
    for folder, patterns in rules.items():
        if folder in folders and (root / folder).is_dir():
            (root / folder / ".gitignore").write_text("\n".join(patterns) + "\n")
    by_git = list_files(root)
    (root / ".git").rename(root.with_suffix(".git-aside"))
    assert list_files(root).paths == by_git.paths


def test_ignore_rules_of_all_folders_above_a_path_have_one_bound() -> None:
    """On cc3f76c a hundred folders with 2,000 rules each took 30 seconds a path."""
    rules = IgnoreRules()
    for depth in range(3):
        rules = rules.with_file("a/" * depth, "".join(f"x{depth}-{number}\n" for number in range(900)))
    names = [f"a/a/x{depth}-{number}" for depth, number in ((0, 899), (1, 899), (2, 199), (2, 200))]
    assert [rules.is_ignored(name, is_folder=False) for name in names] == [True, True, True, False]


def test_too_many_names_of_git_are_refused_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Succeeds as an attack on 11cca76f: an index of some MB took gigabytes before it was refused."""
    write_files(tmp_path / "repo", {f"{number}.py": "" for number in range(4)})
    run_git(tmp_path, "init", "-q", "repo")
    assert len(list_files(tmp_path / "repo", ListingLimits(max_by_git=4)).paths) == 4
    made: list[bytes] = []
    monkeypatch.setattr(listing_module, "decode_name", lambda name: (made.append(name), os.fsdecode(name))[1])
    with pytest.raises(CorpusError, match="more than 3 files"):
        list_files(tmp_path / "repo", ListingLimits(max_by_git=3))
    assert made == [b""], "the way up to the work tree"


def test_each_folder_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files and the folders in it ask for no other `lstat` of it."""
    root = Path(os.path.realpath(tmp_path))
    write_files(root, {f"a/b/c{number}/x.py": "x = 1\n" for number in range(3)} | {"a/y.py": "y = 1\n"})
    looked_at: list[str] = []
    monkeypatch.setattr(
        reading, "is_link", lambda path: (looked_at.append(path.relative_to(root).as_posix()), is_link(path))[1]
    )
    reader = SourceReader(root, max_bytes=100)
    for path in ("a/b/c0/x.py", "a/b/c1/x.py", "a/b/c2/x.py", "a/y.py", "a/b/c0/x.py"):
        assert reader.read(path)
    assert sorted(looked_at) == ["a", "a/b", "a/b/c0", "a/b/c1", "a/b/c2"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
@pytest.mark.parametrize("order", [1, -1])
def test_what_lies_behind_a_link_is_not_read_in_whatever_order_it_is_asked_for(tmp_path: Path, order: int) -> None:
    root = Path(os.path.realpath(tmp_path))
    write_files(root, {"real/deep/x.py": "x = 1\n", "real/y.py": "y = 1\n"})
    (root / "link").symlink_to(root / "real", target_is_directory=True)
    reader = SourceReader(root, max_bytes=100)
    for path in ["link/y.py", "link/deep/x.py", "real/deep/x.py", "real/y.py"][::order]:
        if path.startswith("real"):
            assert reader.read(path)
        else:
            with pytest.raises(Unreadable, match="link"):
                reader.read(path)


def test_the_time_is_looked_at_though_no_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree of names that are left out unopened takes time, too."""
    write_files(tmp_path / "repo", {f"{number}.unknown": "" for number in range(70)})
    run_git(tmp_path, "init", "-q", "repo")
    asked: list[Path] = []
    monkeypatch.setattr(ListingLimits, "check_time", lambda limits, root: asked.append(root))
    read_repository(tmp_path / "repo")
    assert len(asked) == 1 + 70 + 2, "of the list, of `.submodelignore` at each name, and twice of its names"


def test_a_walk_whose_ignore_rules_take_long_ends_amid_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "repo", {f"{number}.py": "" for number in range(9)})
    asked: list[str] = []
    monkeypatch.setattr(IgnoreRules, "is_ignored", lambda rules, path, *, is_folder: asked.append(path))
    monkeypatch.setattr(listing_module, "time", SimpleNamespace(monotonic=lambda: float(len(asked))))
    with pytest.raises(CorpusError, match="takes too long"):
        list_files(tmp_path / "repo", ListingLimits(until_s=2.5))
    assert len(asked) == 3


def test_what_a_sparse_checkout_leaves_out_is_not_counted(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    write_files(root, {f"{number}.py": "" for number in range(6)} | {"S odd.py": ""})
    run_git(tmp_path, "init", "-q", "repo")
    run_git(root, "add", "--all")
    run_git(root, "update-index", "--skip-worktree", "0.py", "1.py", "2.py")
    assert len(list_files(root, ListingLimits(max_entries=1, max_by_git=4)).paths) == 7
    with pytest.raises(CorpusError, match="more than 3 files; leave tracked ones out with a sparse checkout"):
        list_files(root, ListingLimits(max_by_git=3))

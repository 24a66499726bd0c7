from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from builder.corpus.corpus import SourceFile
from contract.errors import SubmodelError
from contract.repository.git import GitError, GitLimitError, run_git
from laboratory.app import app
from laboratory.replay import passages, replay_run, server_session
from laboratory.replay.baseline import replay_baseline
from laboratory.replay.figures import Replayed, summarize
from laboratory.replay.passages import (
    MAX_LINES,
    Passage,
    added_since,
    check_later,
    draw,
    passages_of_files,
)
from laboratory.replay.typist import Offer, Typist, keys_alone
from testbed.git import git


def passages_of_history(root: Path, since: str, count: int, seed: int) -> tuple[Passage, ...]:
    return draw(added_since(root, since, seed), count, seed)


def passage(truth: str, before: str = "x = 1\n", after: str = "\ny = 2\n") -> Passage:
    return Passage(path="a.py", language="Python", before=before, truth=truth, after=after)


def apply(text: str, change: object) -> str:
    if change is None:
        return text
    start, removed, inserted = change.start, change.removed, change.inserted  # type: ignore[attr-defined]
    return text[:start] + inserted + text[start + removed :]


@given(st.text(alphabet="ab()[]{}, \n", min_size=1, max_size=40).map(lambda text: "x" + text.rstrip() + "z"))
def test_typing_ends_in_the_file_as_it_was(truth: str) -> None:
    one = passage(truth)
    typist = Typist(passage=one)
    text = typist.text
    while not typist.is_done:
        text = apply(text, typist.press())
        assert text == typist.text
    assert text == one.before + truth + one.after


def test_an_editor_indents_and_closes() -> None:
    typist = Typist(passage=passage("    f(a)\n    g"))
    assert typist.text == "x = 1\n    \ny = 2\n"
    texts = [apply(typist.text, typist.press()) for _ in range(5)]
    assert [text.split("\n")[1].strip() for text in texts] == ["f", "f()", "f(a)", "f(a)", "f(a)"]
    assert texts[-1].split("\n")[2] == "    ", "the new line is indented"
    assert keys_alone(passage("    f(a)\n    g")) == 6


@pytest.mark.parametrize(
    ("typed", "offer", "is_right"),
    [
        (0, Offer(text="f(a)"), True),
        (0, Offer(text="f(b)"), False),
        (0, Offer(text=""), False),
        (2, Offer(text="a)", replaces=1), True),
        (2, Offer(text="a)", replaces=0), False),  # the bracket would stand there twice
        (2, Offer(text="a"), True),
        (0, Offer(text="f(a)\ng"), True),
        (0, Offer(text="f(a)\ng()"), False),
    ],
)
def test_an_offer_is_right_when_the_file_is_what_it_was(typed: int, offer: Offer, is_right: bool) -> None:
    typist = Typist(passage=passage("f(a)\ng"))
    for _ in range(typed):
        typist.press()
    assert typist.is_right(offer) is is_right
    if is_right:
        text = apply(typist.text, typist.accept(offer))
        assert text == typist.text
        while not typist.is_done:
            text = apply(text, typist.press())
        assert text == "x = 1\nf(a)\ng\ny = 2\n"


def test_trivial_baseline_under_the_same_user() -> None:
    before = "result = compute(alpha)\nother = 1\nother = 1\n"
    [one] = replay_baseline([passage("result = compute(alpha)", before=before)])
    assert one.keys_alone == len("result = compute(alpha)")
    assert one.keys < 5
    assert one.accepted >= 1


def test_passages_of_one_commit_are_drawn_together() -> None:
    replayed = [
        Replayed(keys_alone=10, keys=keys, asked=1, shown=1, accepted=0, wrong=1) for keys in (0, 10) for _ in range(20)
    ]
    saved = summarize("server", replayed, ["a"] * 20 + ["b"] * 20)["keystrokes_saved"]
    assert (saved["low"], saved["high"]) == (0.0, 1.0)
    row = summarize("server", replayed, ["a"] * 40)
    assert row["keystrokes_saved"] == {"value": 0.5}
    assert row["shown_and_wrong"] == {"value": 1.0}


def test_a_run_stands_beside_the_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def played(root: Path, bundle: Path, passages: Any, _: Any, pace_ms: int | None) -> list[Replayed]:
        assert pace_ms == 250
        return replay_baseline(passages)

    monkeypatch.setattr(replay_run, "replay", played)
    monkeypatch.setattr(replay_run, "_passages", lambda *_: [passage("f(a)")])
    done = CliRunner().invoke(app, ["replay", str(tmp_path), "--bundle", str(tmp_path), "--json", "--pace", "250"])
    document = json.loads(done.stdout)
    assert [row["name"] for row in document["runs"]] == ["similar line", "server"]
    assert (document["pace_ms"], document["clusters"]) == (250, ["a.py"])
    assert document["runs"][1]["each"]["keys_alone"] == [document["runs"][1]["keys_alone"]]


def test_a_server_that_ends_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_session, "SERVE", (sys.executable, "-c", "input()"))
    with pytest.raises(SubmodelError, match="The server ended while it was asked"):
        server_session.replay(tmp_path, tmp_path, [passage("f(a)")])


SLOW_SERVER = """
import asyncio
from lsprotocol import types
from pygls.lsp.server import LanguageServer

server = LanguageServer("slow", "1")

@server.feature("submodel/status")
def status(_):
    return {"state": "ready"}

@server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION)
async def complete(params):
    text = server.workspace.get_text_document(params.text_document.uri).source
    await asyncio.sleep(0 if text.startswith("ab") else 30)
    return types.InlineCompletionList([types.InlineCompletionItem("cdef"[len(text) - 2 :])])

server.start_io()
"""


@pytest.mark.slow
def test_at_a_pace_what_comes_late_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_session, "SERVE", (sys.executable, "-c", SLOW_SERVER))
    one = passage("abcdef", before="", after="")
    started = time.monotonic()
    # The first answer of a fresh process takes a while.
    [replayed] = server_session.replay(tmp_path, tmp_path, [one], pace_ms=5000)
    assert (replayed.keys_alone, replayed.keys, replayed.asked, replayed.late) == (6, 3, 3, 2)
    assert (replayed.shown, replayed.accepted, replayed.wrong) == (1, 1, 0)
    assert len(replayed.latencies_ms) == 1
    assert time.monotonic() - started >= 15, "a keystroke takes its time, with an answer, too"


def test_figures() -> None:
    replayed = [
        Replayed(keys_alone=10, keys=5, asked=5, shown=4, accepted=1, wrong=1, latencies_ms=(1.0, 3.0)),
        Replayed(keys_alone=30, keys=25, asked=9, shown=1, accepted=0, wrong=1, latencies_ms=(2.0,)),
    ]
    row = summarize("server", replayed)
    assert row["keystrokes_saved"]["value"] == pytest.approx(1 - 30 / 40)
    assert row["shown_and_wrong"]["value"] == pytest.approx(2 / 5)
    assert (row["milliseconds_p50"], row["milliseconds_p95"]) == (2.0, 2.9)  # between the two largest
    assert "milliseconds_p50" not in summarize("baseline", [Replayed(**{**vars(replayed[0]), "latencies_ms": ()})])


def test_passages_are_whole_pieces_of_their_file() -> None:
    text = "import os\n\n\ndef f(a):\n    # a comment\n    b = a + 1\n    return b\n\n\nx = f(1)\n"
    file = SourceFile(path="a.py", language="Python", text=text, sha256="", split="held-out")
    found = passages_of_files([file], 100, seed=0)
    assert {one.truth for one in found} == {
        "import os",
        "def f(a):\n    # a comment\n    b = a + 1\n    return b",
        "    b = a + 1\n    return b",
        "    return b",
        "x = f(1)",
    }
    assert all(one.before + one.truth + one.after == text for one in found)
    assert all(one.truth.count("\n") < MAX_LINES for one in found)
    assert passages_of_files([file], 2, seed=0) == passages_of_files([file], 2, seed=0)


def test_lines_that_commits_added(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    file = tmp_path / "a.py"
    file.write_text("one = 1\nthree = 3\n")
    (tmp_path / "two\u2028lines.txt").touch()  # str.splitlines divides here, git does not
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    since = git(tmp_path, "rev-parse", "HEAD")
    file.write_text("one = 1\ntwo = 2\nthree = 3\n")
    (tmp_path / "notes.md").write_text("no code\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "second")
    [added] = passages_of_history(tmp_path, since, 10, seed=0)
    assert (added.before, added.truth, added.after) == ("one = 1\n", "two = 2", "\nthree = 3\n")
    with pytest.raises(SubmodelError, match="git rev-list failed"):
        passages_of_history(tmp_path, "no-such-revision", 10, seed=0)


def test_an_offer_may_go_on_as_the_commit_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):  # the draw depends on the commit's hash
        monkeypatch.setenv(name, "2026-11-30T12:00:00+0000")
    git(tmp_path, "init", "-q")
    file = tmp_path / "a.go"
    old = "package a\n\nvar one = 1\n"
    file.write_text(old)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    body = "func f() int {\n\tx := 1\n\treturn x\n}\n\n"
    new = old.replace("var", f"{body}var") + "\nvar last = one\n"
    file.write_text(new)
    git(tmp_path, "commit", "-qam", "second")
    found = {one for seed in range(40) for one in passages_of_history(tmp_path, "HEAD~1", 10, seed)}
    starts = {one.truth.split("\n")[0].strip(): one for one in found}
    assert set(starts) == {"func f() int {", "x := 1", "return x", "var last = one"}
    last = starts["var last = one"]
    assert last.before + last.truth + last.after == new
    assert last.later == "", "the run ends with the passage"
    one = starts["x := 1"]
    assert one.truth == "\tx := 1\n\treturn x"
    assert one.before == "package a\n\nfunc f() int {\n"
    assert one.after == "\nvar one = 1\n\nvar last = one\n", "the other run stands there"
    typist = Typist(passage=one)
    assert not typist.is_right(Offer(text="x := 1\n\treturn x\n}\n\nvar one"))
    offer = Offer(text="x := 1\n\treturn x\n}")
    assert typist.is_right(offer)
    assert apply(typist.text, typist.accept(offer)) == typist.text == new.replace("}\n\n", "}\n")
    assert typist.is_done
    assert (typist.keys, keys_alone(one)) == (1, len("x := 1\nreturn x"))


def test_what_was_renamed_lies_elsewhere_or_is_no_code_of_the_corpus_was_not_added(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    root = tmp_path / "part"
    (root / "vendor").mkdir(parents=True)
    text = "".join(f"name_{number} = {number}\n" for number in range(30))
    for path in (root / "old.py", tmp_path / "other.py", root / "vendor" / "theirs.py"):
        path.write_text(text)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    since = git(tmp_path, "rev-parse", "HEAD")
    git(root, "mv", "old.py", "new name.py")
    for path in (root / "new name.py", tmp_path / "other.py", root / "vendor" / "theirs.py"):
        path.write_text(text + "added = 1\n")
    (root / "made.py").write_text("# Code generated by a program. DO NOT EDIT.\nmade = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "second")

    found = passages_of_history(root, since, 10, seed=0)

    assert [(one.path, one.before, one.truth) for one in found] == [("new name.py", text, "added = 1")]


def commit_texts(root: Path, *texts: str) -> None:
    """A repository whose file a.py has each text in a commit of its own."""
    git(root, "init", "-q")
    for text in texts:
        (root / "a.py").write_text(text)
        git(root, "add", ".")
        git(root, "commit", "-qm", text)


def test_a_commit_that_git_can_t_show_is_no_commit_without_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a partial clone, which lacks the texts of older commits."""
    commit_texts(tmp_path, "one = 1\n", "one = 1\ntwo = 2\n")
    run = run_git
    error: type[GitError] = GitError

    def fail(root: Path, *words: str, **options: Any) -> bytes:
        if words[0] == "show":
            raise error("git show failed")
        return run(root, *words, **options)

    monkeypatch.setattr(passages, "run_git", fail)
    with pytest.raises(SubmodelError, match="git show failed"):
        added_since(tmp_path, "HEAD~1", 0)
    error = GitLimitError  # one commit is too large: others do
    assert added_since(tmp_path, "HEAD~1", 0) == []


def test_lines_that_were_learned_are_not_later(tmp_path: Path) -> None:
    commit_texts(tmp_path, "one = 1\n", "one = 1\ntwo = 2\n", "one = 1\n")
    learned = [hashlib.sha256(b"one = 1\ntwo = 2\n").hexdigest()]

    found = passages_of_history(tmp_path, "HEAD~2", 10, seed=0)

    assert [one.truth for one in found] == ["two = 2"]
    assert passages_of_history(tmp_path, "HEAD~2", 0, seed=0) == ()
    assert added_since(tmp_path, "HEAD~2", 0) == list(found), "those that are not drawn are looked at, too"
    check_later(found, ["another"], "HEAD~2", Path("bundle"))
    with pytest.raises(SubmodelError, match=r"bundle learned a\.py as commit .* with --since"):
        check_later(found, learned, "HEAD~2", Path("bundle"))


def test_a_file_that_came_back_was_not_added(tmp_path: Path) -> None:
    commit_texts(tmp_path, "one = 1\ntwo = 2\n", "one = 1\n", "one = 1\ntwo = 2\n")

    assert passages_of_history(tmp_path, "HEAD~2", 10, seed=0) == ()


@pytest.mark.skipif(os.name != "posix", reason="the hostile program is a shell script")
def test_no_program_of_the_repository_is_run_and_no_secret_typed(tmp_path: Path) -> None:
    root, witness = tmp_path / "repo", tmp_path / "witness"
    root.mkdir()
    git(root, "init", "-q")
    (root / ".gitattributes").write_text("*.py diff=evil filter=evil\n")
    file = root / "a.py"
    file.write_text("one = 1\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    since = git(root, "rev-parse", "HEAD")
    token = "ghp_" + "aB3dE6gH9k" * 3 + "Zq4Rt7"
    file.write_text(f'one = 1\nTOKEN = "{token}"\n')
    git(root, "commit", "-qam", "second")
    file.write_text(f'one = 1\nTOKEN = "{token}"\ntwo = two_of(one)\n')
    git(root, "commit", "-qam", "third")
    # A commit that claims a signature makes `git show` run gpg.program where log.showSignature is set.
    tree, parent = git(root, "rev-parse", "HEAD^{tree}"), git(root, "rev-parse", "HEAD")
    who = "t <t@example.org> 1700000000 +0000"
    raw = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n"
    raw += " -----END PGP SIGNATURE-----\n\nsigned\n"
    (tmp_path / "commit").write_text(raw)
    signed = git(root, "hash-object", "-t", "commit", "-w", str(tmp_path / "commit"))
    git(root, "update-ref", "HEAD", signed)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{witness}'\ncat \"$1\"\n")
    program.chmod(0o755)
    for name in (
        *("diff.evil.textconv", "diff.evil.command", "diff.external", "gpg.program", "core.fsmonitor", "core.pager"),
        *("filter.evil.smudge", "filter.evil.clean"),
    ):
        git(root, "config", name, str(program))
    git(root, "config", "log.showSignature", "true")
    git(root, "show", "--format=", "HEAD~1")
    assert witness.exists(), "the trap is set"
    witness.unlink()
    found = passages_of_history(root, since, 10, seed=0)
    assert not witness.exists()
    assert [passage.truth for passage in found] == ["two = two_of(one)"]
    assert token not in found[0].before

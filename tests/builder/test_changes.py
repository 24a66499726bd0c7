"""What git says of the way between two commits, in a real repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.corpus import changes
from builder.corpus.changes import Renames, head_commit, paths_at, renames_since, texts_at
from contract.repository.git import GitLimitError, run_git
from submodel.build import new_lines
from submodel.build.new_lines import OldTexts
from testbed.git import git

LINES = [f"first_{number} = second_{number}" for number in range(12)]


def commit(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--message", "change")
    head = head_commit(root)
    assert head is not None
    return head


def test_renames(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "old.py").write_text("\n".join(LINES))
    (tmp_path / "inner" / "kept.py").write_text("a = 1\n")
    before = commit(tmp_path)
    (tmp_path / "inner" / "old.py").rename(tmp_path / "inner" / "a new.py")
    (tmp_path / "inner" / "a new.py").write_text("\n".join([*LINES, "last = 3"]))
    (tmp_path / "inner" / "kept.py").write_text("a = 1\n\nb = 2\n")
    after = commit(tmp_path)
    assert renames_since(tmp_path / "inner", before) == Renames(paths={"a new.py": "old.py"})
    assert renames_since(tmp_path, after) == Renames(paths={})


def test_where_comparing_all_files_takes_too_long_fewer_are_compared(tmp_path, monkeypatch):
    git(tmp_path, "init")
    (tmp_path / "old.py").write_text("\n".join(LINES))
    before = commit(tmp_path)
    (tmp_path / "old.py").rename(tmp_path / "new.py")
    (tmp_path / "new.py").write_text("\n".join([*LINES, "last = 3"]))
    commit(tmp_path)

    def run(root, *arguments):
        if "-l0" in arguments:
            raise GitLimitError("git diff failed: it took more than 60 s")
        return run_git(root, *arguments)

    monkeypatch.setattr(changes, "run_git", run)
    assert renames_since(tmp_path, before) == Renames(paths={"new.py": "old.py"})


def test_in_a_partial_clone_files_that_were_only_renamed_are_found(tmp_path):
    source, clone = tmp_path / "source", tmp_path / "clone"
    source.mkdir()
    git(source, "init")
    git(source, "config", "uploadpack.allowFilter", "true")
    for name in ("moved", "edited"):
        (source / f"{name}.py").write_text("\n".join([name, *LINES]))
    before = commit(source)
    for name in ("moved", "edited"):
        (source / f"{name}.py").rename(source / f"{name}_new.py")
    (source / "edited_new.py").write_text("\n".join(["edited", *LINES, "last = 3"]))
    commit(source)
    git(tmp_path, "clone", "--filter=blob:none", source.as_uri(), "clone")
    assert renames_since(source, before) == Renames(paths={"moved_new.py": "moved.py", "edited_new.py": "edited.py"})
    assert renames_since(clone, before) == Renames(paths={"moved_new.py": "moved.py"}, exact_only=True)


def test_texts_as_they_were_at_a_commit(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a b.py").write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    (tmp_path / "inner" / "picture.py").write_bytes(b"\0")
    before = commit(tmp_path)
    (tmp_path / "inner" / "a b.py").unlink()
    commit(tmp_path)
    assert paths_at(tmp_path / "inner", before) == {"a b.py", "picture.py"}
    assert paths_at(tmp_path / "inner", None) == paths_at(tmp_path / "inner", "HEAD") == frozenset()
    asked = ["a b.py", "picture.py", "never.py", "../inner/a b.py\0", "-x"]
    assert texts_at(tmp_path / "inner", before, asked) == {"a b.py": "x = 1\n"}


def test_texts_are_read_together(tmp_path, monkeypatch):
    """Or each by itself, where one answer for all would be too long; the texts are the same."""
    git(tmp_path, "init")
    texts = {f"{number} blob 2.py": f"first_{number} = 1\n\nsecond = 2" for number in range(5)} | {"empty.py": ""}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.py").write_text("a = 1\n")
    before = commit(tmp_path)
    calls, seen = [], []
    limits = {}

    def noted(root, *arguments, **options):
        calls.append(arguments[1])
        return run_git(root, *arguments, **options, **limits)

    monkeypatch.setattr(changes, "run_git", noted)
    monkeypatch.setattr(changes, "TEXTS_AT_ONCE", 4)
    asked = ["never missing.py", "folder", *texts]
    assert texts_at(tmp_path, before, asked, lambda: seen.append(1)) == texts
    assert calls == ["--batch", "--batch"]
    assert len(seen) == len(asked)
    calls.clear()
    assert texts_at(tmp_path, before, [*texts, "a\n.py"]) == texts
    assert calls == ["--batch", *["blob"] * 3], "git would take a line for a name"
    calls.clear()
    limits["max_bytes"] = 100
    assert texts_at(tmp_path, before, asked) == texts
    assert calls == ["--batch", *["blob"] * 4] * 2


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"", []),
        (b"ab blob 3\nx\ny\n", [b"x\ny"]),
        (b"c:./a missing\nab tree 2\n\n\n\nab blob 0\n\nc:./b 1 submodule\n", [None, None, b"", None]),
    ],
)
def test_what_git_prints_of_many_objects(printed, expected):
    assert changes._split_batch(printed) == expected


def test_texts_that_one_answer_lacks_are_read_each_by_itself(tmp_path, monkeypatch):
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("x = 1\n")
    before = commit(tmp_path)
    monkeypatch.setattr(
        changes, "run_git", lambda root, *words, **more: b"" if "--batch" in words else run_git(root, *words, **more)
    )
    assert texts_at(tmp_path, before, ["a.py"]) == {"a.py": "x = 1\n"}


def test_paths_that_went_long_ago_take_no_old_text_s_place(tmp_path, monkeypatch):
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("x = 1\n")
    before = commit(tmp_path)
    monkeypatch.setattr(new_lines, "MOST_OLD_TEXTS", 1)
    assert OldTexts(tmp_path, before).of(["gone.py", "a.py"]) == {"a.py": "x = 1\n"}
    assert OldTexts(tmp_path, None).of(["a.py"]) == {}


def test_of_too_many_changed_files_it_is_said_how_many_are_not_known(tmp_path, monkeypatch):
    git(tmp_path, "init")
    for name in "abc":
        (tmp_path / f"{name}.py").write_text(f"{name} = 1\n")
    old = OldTexts(tmp_path, commit(tmp_path))
    monkeypatch.setattr(new_lines, "MOST_OLD_TEXTS", 2)
    assert len(old.of(["a.py", "b.py"])) == 2
    assert old.say_left_out() is None
    assert len(old.of(["a.py", "b.py", "c.py", "gone.py"])) == 2
    assert str(old.say_left_out()).startswith("Of 3 changed files the old text of 1 is not known")


def test_no_git_no_commit_and_a_commit_that_is_gone(tmp_path):
    assert head_commit(tmp_path) is None
    assert renames_since(tmp_path, None) is None
    assert renames_since(tmp_path, "0" * 40) is None
    git(tmp_path, "init")
    assert head_commit(tmp_path) is None
    (tmp_path / "a.py").write_text("a = 1\n")
    commit(tmp_path)
    assert renames_since(tmp_path, "0" * 40) is None
    assert renames_since(tmp_path, "--output=x") is None

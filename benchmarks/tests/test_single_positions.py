"""Checks before positions are asked, and what a result says of its origin."""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import single_positions
from benchmarks.machine import describe_commit
from benchmarks.single_positions import (
    MODEL_FREE,
    ask_again,
    check_build,
    check_built,
    describe_lines,
    draw_positions,
    find_renames,
    origins_of,
    put_origins,
    texts_of,
)
from builder.corpus.corpus import SourceFile
from contract.errors import SubmodelError
from laboratory.bench import bench_run
from laboratory.bench.bench_run import FIRST_ANSWER
from laboratory.bench.workload import Keystroke, Workload, WorkloadSettings
from laboratory.replay.passages import Passage, removed_by
from testbed.git import git


def test_a_bundle_of_another_checkout_is_refused() -> None:
    check_built("nnhn", Path("bundle"), Path("checkout"))
    with pytest.raises(SystemExit, match="not built of checkout"):
        check_built("nnnn", Path("bundle"), Path("checkout"))


def test_another_build_is_refused_where_the_document_names_one() -> None:
    check_build({}, "b" * 64, Path("positions.json"))
    check_build({"bundle_build": "b" * 64}, "b" * 64, Path("positions.json"))
    with pytest.raises(SystemExit, match="--other-build"):
        check_build({"bundle_build": "a" * 64}, "b" * 64, Path("positions.json"))
    earlier = {"bundle_build": "a" * 64, "origins": {"submodel": {"sha256": "b" * 64}}}
    check_build(earlier, "b" * 64, Path("positions.json"))
    with pytest.raises(SystemExit, match="answers of another build"):
        check_build(earlier, "a" * 64, Path("positions.json"))


def test_each_engine_keeps_what_gave_its_answers() -> None:
    peers = {name: {"file": name, "sha256": name} for name in ("llama.cpp", "tuned")}
    reported: dict[str, Any] = {"bundle_build": "a", "command": "first", "peers": peers}
    tuned = {"tuned": {"file": "bundle", "sha256": "new"}}
    for command, build, asked in (("second", "b", tuned), ("third", "c", {})):
        run = {"bundle_build": build, "command": command, "peers": asked}
        put_origins(reported, run, ["submodel", FIRST_ANSWER, *MODEL_FREE])
    put_origins(reported, {"bundle_build": "d", "command": "fourth"}, MODEL_FREE)

    found = {name: (one["sha256"], one["command"]) for name, one in origins_of(reported).items()}
    assert found == {
        "submodel": ("c", "third"),
        FIRST_ANSWER: ("c", "third"),
        "llama.cpp": ("llama.cpp", "first"),
        "tuned": ("new", "second"),
        "similar line": ("d", "fourth"),
        "n-gram": ("d", "fourth"),
    }
    assert (reported["bundle_build"], reported["command"]) == ("a", "first")


def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path) -> None:
    assert describe_commit(tmp_path) == ""
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    program, result = tmp_path / "program.py", tmp_path / "benchmarks" / "results" / "positions.json"
    for path in (program, result):
        path.write_text("1")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    commit = describe_commit(tmp_path)

    result.write_text("2")
    assert describe_commit(tmp_path) == commit
    program.write_text("2")
    assert describe_commit(tmp_path) == f"{commit} with changes"


def stroke(before: str, truth: str) -> Keystroke:
    where = {"path": "a.py", "commit": "", "is_new_line": True, "is_new_place": True}
    return Keystroke(before=before, truth=truth, behind="", **where)  # type: ignore[arg-type]


def test_a_line_is_known_if_a_code_file_had_its_text_at_any_indentation() -> None:
    files = [
        SourceFile(path=path, language=language, text=text, sha256=path, split="calibration")
        for path, language, text in (
            ("learned.py", "Python", "    value = 1\n"),
            ("learned.md", "Markdown", "value = 2\n"),
            ("other.py", "Python", "value = 2\nonce = 1\ntwice = 1\nif a:\n  twice = 1\n"),
        )
    ]
    learned = ("learned.py", "learned.md")
    held_out = [stroke("x\nvalue =", " 1"), stroke("once =", " 1"), stroke("", "twice = 1")]
    assert texts_of(held_out, files, learned, {}) == "lnh", "a held-out line stands in its own file once itself"
    later = [replace(one, commit="c") for one in (*held_out[:2], stroke("value =", " 3"), stroke("new =", " 3"))]
    removed = {"c": {"a.py": ["    value = 2"], "b.py": ["new = 2"]}}
    assert texts_of(later, files, learned, removed) == "lhen"


def test_a_commit_s_removed_lines_are_those_of_its_files(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "old.py").write_text("".join(f"name_{number} = {number}\n" for number in range(30)) + "--- = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "mv", "old.py", "new.py")
    text = (tmp_path / "new.py").read_text()
    (tmp_path / "new.py").write_text(text.replace("name_3 = 3", "name_3 = 4"))
    git(tmp_path, "commit", "-qam", "second")
    assert removed_by(tmp_path, "HEAD") == {"new.py": ["name_3 = 3"]}


def test_a_file_that_was_renamed_is_not_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "old.py").write_text("".join(f"name_{number} = {number}\n" for number in range(30)))
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "mv", "old.py", "a.py")
    git(tmp_path, "commit", "-qm", "second")
    built = [
        SourceFile(path=path, language="Python", text="", sha256=path, split="calibration")
        for path in ("old.py", "b.py")
    ]
    bundle = SimpleNamespace(manifest={"learned_sha256": ["old.py"]})
    arguments = argparse.Namespace(bundle=Path(), built=Path(), repository=tmp_path)
    renames = find_renames(tmp_path, "HEAD~1")
    monkeypatch.setattr(single_positions, "read_bundle", lambda *_, **__: bundle)
    monkeypatch.setattr(single_positions, "read_corpus", lambda _: SimpleNamespace(files=built))

    asked = [replace(stroke("", "x"), path=path) for path in ("a.py", "b.py", "c.py")]
    assert describe_lines(asked, arguments, renames)["files"] == "lnn"


@pytest.mark.parametrize(("since", "why"), [(None, "learned files that first"), ("HEAD~1", r"learned a\.py as commit")])
def test_no_bundle_is_asked_what_it_has_learned(since: str | None, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = {
        "first": {"held_out_sha256": ["a"]},
        "same": {"learned_sha256": ["b"]},
        "later": {"learned_sha256": ["a"]},
    }
    added = Passage(path="a.py", language="Python", before="", truth="a", after="", commit="c", file_sha256="a")
    workload = Workload(passages=((stroke("", "a"),),), text="", source="", added=(added,))
    monkeypatch.setattr(single_positions, "make_workload", lambda *_: workload)
    for module in (single_positions, bench_run):
        monkeypatch.setattr(module, "read_bundle", lambda folder, **_: SimpleNamespace(manifest=manifests[folder.name]))
    first, same, later = map(Path, manifests)
    settings = WorkloadSettings(since=since)

    assert draw_positions([first, same], Path(), settings) == workload.strokes
    with pytest.raises((SystemExit, SubmodelError), match=f"later {why}"):
        draw_positions([first, same, later], Path(), settings)


def patched(results: Path, monkeypatch: pytest.MonkeyPatch, **values: object) -> argparse.Namespace:
    """What `ask_again` is called with, after what it reads and asks was replaced."""
    doubles: dict[str, object] = {
        "RESULTS": results,
        "read_bundle": lambda _: SimpleNamespace(build="b" * 64),
        "draw_positions": lambda *_: [stroke("", "a")],
        "find_renames": lambda *_: {},
    }
    for name, value in (doubles | values).items():
        monkeypatch.setattr(single_positions, name, value)
    paths = dict.fromkeys(("bundle", "built", "repository"), results)
    return argparse.Namespace(name="x", since="HEAD", again="bundle", other_build=False, **paths)


def test_no_engine_is_asked_unless_all_lines_are_those_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {kind: {"lines": 1, "lines_sha256": kind, "threads": 1} for kind in ("held-out", "later")}
    (tmp_path / "positions-x.json").write_text(json.dumps({"kinds": kinds}))
    lines = iter(("held-out", "others"))
    doubles = {"hash_strokes": lambda _: next(lines), "describe_lines": lambda *_: {}}
    arguments = patched(tmp_path, monkeypatch, **doubles, BundleWorker=None)

    with pytest.raises(SystemExit, match=r"later lines are not those of .* without --again"):
        ask_again(arguments, ())


def test_peers_alone_leave_what_the_bundle_of_another_build_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Worker:
        def __init__(self, folder: str, threads: int, *, has_drafts: bool) -> None:
            assert (Path(folder).name, threads, has_drafts) == ("base", 2, True)

        def complete(self, *_: str) -> dict[str, str]:
            return {"text": "a"}

    figures = {
        "lines": 1,
        "lines_sha256": "same",
        "threads": 2,
        "files": "l",
        "engines": [{"name": "submodel", "exact_match": 0.0, "same_answers": 1.0}],
        "exact": {"submodel": "0", "n-gram": "0"},
    }
    reported = {"bundle_build": "a" * 64, "command": "first", "kinds": {"held-out": figures, "later": figures}}
    (tmp_path / "positions-x.json").write_text(json.dumps(reported))
    arguments = patched(
        tmp_path,
        monkeypatch,
        hash_strokes=lambda _: "same",
        describe_lines=lambda *_: {"files": "n"},
        describe_peers=lambda peers: {name: {"sha256": folder.name} for name, folder in peers},
        write_result=lambda name, document: (tmp_path / f"{name}.json").write_text(json.dumps(document)),
        BundleWorker=Worker,
    )
    arguments.again = "peers"

    ask_again(arguments, [("base, our engine", Path("base"))])

    written = json.loads((tmp_path / "positions-x.json").read_text())
    for kind in written["kinds"].values():
        assert kind["exact"] == {"submodel": "0", "n-gram": "0", "base, our engine": "1"}
        assert kind["engines"] == figures["engines"]
        assert kind["files"] == "l"
    origins = {name: one["sha256"] for name, one in written["origins"].items()}
    assert origins == dict.fromkeys(("submodel", FIRST_ANSWER, *MODEL_FREE), "a" * 64) | {"base, our engine": "base"}
    assert " --again peers " in written["origins"]["base, our engine"]["command"]

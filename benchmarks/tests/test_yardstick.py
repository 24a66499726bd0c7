"""The yardstick: which positions are asked, what is kept of answers, and what the tables make of them."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.yardstick import __main__ as yardstick
from benchmarks.yardstick import asked_positions, keystrokes
from benchmarks.yardstick.answers import Answers, is_right
from benchmarks.yardstick.asked_positions import HELD_OUT, LATER, Position, draw_positions, in_order
from benchmarks.yardstick.rivals import open_rival
from benchmarks.yardstick.table import Line, mean, mean_of_repositories, print_right, print_shown, read_lines
from benchmarks.yardstick.yardstick_plan import Plan, Repository, read_plan
from builder.corpus.corpus import SourceFile
from laboratory.bench.workload import Keystroke
from laboratory.replay.replay_run import ReplaySettings
from testbed.git import git


def stroke(before: str, truth: str, path: str = "a.py", commit: str = "") -> Keystroke:
    return Keystroke(
        before=before, behind="", truth=truth, path=path, commit=commit, is_new_line=True, is_new_place=True
    )


def source(path: str, text: str, language: str = "Python") -> SourceFile:
    return SourceFile(path=path, language=language, text=text, sha256=path, split="calibration")


def a_repository(folder: Path, **rivals: dict[str, Any]) -> Repository:
    return Repository(
        name="r", clone=folder, built=folder, since="HEAD~1", own=folder / "bundle", rivals=rivals or {"one": {}}
    )


def test_a_plan_fills_in_the_names_of_repositories(tmp_path: Path) -> None:
    plan = {
        "count": 2,
        "own": "built/{name}/bundle",
        "repositories": [{"name": "x", "clone": "x", "built": "built/x", "since": "abc"}],
        "rivals": {
            "own": {"bundle": "built/{name}/bundle", "as_shown": True},
            "peer": {"server": "s", "gguf": "g", "has_snippets": True},
            "n-gram": {"model_free": "n-gram"},
        },
    }
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    (repository,) = read_plan(path).repositories
    assert repository.bundles == [tmp_path / "built" / "x" / "bundle"]
    assert repository.rivals["own"] == {"bundle": repository.own, "as_shown": True}
    path.write_text(json.dumps({**plan, "rivals": {"odd": {"gguf": "g"}}}))
    with pytest.raises(SystemExit, match="'odd' needs a bundle"):
        read_plan(path)
    path.write_text(json.dumps({"rivals": {}}))
    with pytest.raises(SystemExit, match="lacks the key 'repositories'"):
        read_plan(path)


def test_positions_are_new_if_no_learned_code_file_has_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        source("learned.py", "    value = 1\n"),
        source("learned.md", "value = 2\n", "Markdown"),
        source("other.py", "value = 3\n"),
    ]
    manifest = SimpleNamespace(manifest={"learned_sha256": ["learned.py", "learned.md"]})
    monkeypatch.setattr(asked_positions, "read_corpus", lambda _: SimpleNamespace(files=files))
    strokes = [stroke("x\nvalue =", " 1"), stroke("value =", " 2"), stroke("", "value = 3")]
    asked: list[tuple[list[Path], str | None]] = []
    monkeypatch.setattr(asked_positions, "read_bundle", lambda *_, **__: manifest)
    monkeypatch.setattr(asked_positions, "make_workload", lambda *_: SimpleNamespace(strokes=strokes))
    monkeypatch.setattr(asked_positions, "check_unlearned", lambda bundles, _, since: asked.append((bundles, since)))
    monkeypatch.setattr(asked_positions, "in_order", lambda strokes, *_: strokes)

    repository = a_repository(tmp_path, generic={"bundle": tmp_path / "generic"})
    drawn = draw_positions(repository, 3)

    assert [one.is_new for one in drawn] == [False, True, True] * 2
    assert [one.kind for one in drawn] == [HELD_OUT] * 3 + [LATER] * 3
    assert asked == [(repository.bundles, None), (repository.bundles, "HEAD~1")]
    manifest.manifest["learned_sha256"] = ["another"]
    with pytest.raises(SystemExit, match="name the checkout"):
        draw_positions(repository, 3)


def test_later_lines_go_from_the_oldest_commit_to_the_newest(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    commits = []
    for number in range(3):
        (tmp_path / "a.py").write_text(str(number))
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", "change")
        commits.append(git(tmp_path, "rev-parse", "HEAD"))
    asked = [stroke("", "x", commit=commit) for commit in (commits[2], commits[1])]
    assert [one.commit for one in in_order(asked, tmp_path, commits[0])] == commits[1:]


class FakeRival:
    """Answers from a table, and counts."""

    sha256 = "a"

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers, self.asked, self.prepared = answers, list[str](), 0

    def prepare(self, stroke: Keystroke) -> None:
        self.prepared += 1

    def complete(self, stroke: Keystroke) -> str:
        if stroke.before not in self.answers:
            raise KeyboardInterrupt
        self.asked.append(stroke.before)
        return self.answers[stroke.before]


def test_a_run_that_was_killed_asks_what_is_left_and_tables_count_again_from_the_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        Position(repository="r", kind=HELD_OUT, stroke=stroke(before, "x", f"{before}.py"), is_new=before != "c")
        for before in ("a", "b", "c")
    ]
    repository = a_repository(tmp_path, ours={}, theirs={})
    plan = Plan(name="p", count=3, repositories=(repository,))
    rivals = {"ours": FakeRival({"a": "x", "b": "x\nmore"}), "theirs": FakeRival({"a": "", "b": "y", "c": "x"})}
    monkeypatch.setattr(yardstick, "draw_positions", lambda *_: asked)
    theirs = repository.rivals["theirs"]
    monkeypatch.setattr(
        yardstick, "open_rival", lambda spec, repository, stack: rivals["theirs" if spec is theirs else "ours"]
    )

    path = tmp_path / "p.jsonl"
    with pytest.raises(KeyboardInterrupt):
        yardstick.run(plan, Answers(path), tmp_path)
    with path.open("a") as file:
        file.write('{"cut off')
    rivals["ours"].answers["c"] = "z"
    yardstick.run(plan, Answers(path), tmp_path)

    assert rivals["ours"].asked == rivals["theirs"].asked == ["a", "b", "c"]
    assert rivals["theirs"].prepared == 3
    document = json.loads((tmp_path / "yardstick-p.json").read_text())
    assert [one["truth"] for one in document["positions"]] == ["x"] * 3
    assert document["origins"][0]["sha256"] == "a"
    row = next(one for one in document["answers"] if one["text"] == "x\nmore")
    assert (row["rival"], row["right"], row["shown"]) == ("ours", True, True)
    row["right"] = False  # as if somebody had changed it
    (tmp_path / "yardstick-p.json").write_text(json.dumps(document))
    lines = read_lines(tmp_path / "yardstick-p.json")
    assert [one.right for one in lines] == [
        {"ours": True, "theirs": False},
        {"ours": True, "theirs": False},
        {"ours": False, "theirs": True},
    ]
    assert [one.is_new for one in lines] == [True, True, False]
    print_right("lines", lines, with_each=False)
    print_shown("lines", lines)
    printed = capsys.readouterr().out
    assert "| ours | 3 | 66.7 % (0.0 to 100.0) | 66.7 % |  |  |" in printed
    assert "| theirs | 66.7 % | 33.3 % | 33.3 % | 33.3 % |" in printed

    rivals["ours"].sha256 = "b"
    with pytest.raises(SystemExit, match="answers of another 'ours'"):
        Answers(path).begin("r", "ours", {"sha256": "b", "commit": ""})


def test_the_first_line_of_an_answer_counts() -> None:
    assert is_right("x  \nanything", "x") and not is_right("x y", "x") and not is_right("", "x")


def a_line(repository: str, cluster: str, *right: bool) -> Line:
    by_rival = dict(zip(("ours", "theirs"), right, strict=True))
    return Line(
        repository=repository, kind=LATER, cluster=cluster, is_new=None, right=by_rival, shown={}, milliseconds={}
    )


def test_lines_of_a_commit_vary_together_and_repositories_apart() -> None:
    def lead(line: Line) -> float:
        return float(line.right["ours"] - line.right["theirs"])

    alone = [a_line("r", str(number), number < 20, False) for number in range(40)]
    together = [a_line("r", str(number < 20), number < 20, False) for number in range(40)]
    one, other = mean(alone, lead), mean(together, lead)
    assert one.value == other.value == 0.5
    assert other.high - other.low > 2 * (one.high - one.low)
    apart = [a_line("always", "a", True, False), a_line("never", "a", True, True)] * 10
    assert mean_of_repositories(apart, lead).low < 0 < mean_of_repositories(apart, lead).value


def test_results_of_the_program_before_are_read(tmp_path: Path) -> None:
    kinds = {kind: {"clusters": [0, 0, 1], "exact": {"submodel": "110", "n-gram": "000"}} for kind in (HELD_OUT, LATER)}
    path = tmp_path / "positions-x.json"
    path.write_text(json.dumps({"kinds": kinds}))
    lines = [one for one in read_lines(path) if one.kind == LATER]
    assert [one.right["submodel"] for one in lines] == [True, True, False]
    assert {one.repository for one in lines} == {"x"}


def test_a_model_free_rival_knows_the_learned_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [source("a.py", "alpha = beta + gamma\n" * 3), source("b.py", "alpha = delta\n" * 9)]
    manifest = SimpleNamespace(manifest={"learned_sha256": ["a.py"]})
    monkeypatch.setattr("benchmarks.yardstick.rivals.read_bundle", lambda *_, **__: manifest)
    monkeypatch.setattr("benchmarks.yardstick.rivals.read_corpus", lambda _: SimpleNamespace(files=files))
    repository = a_repository(tmp_path)
    with ExitStack() as stack:
        n_gram, similar = (open_rival({"model_free": name}, repository, stack) for name in ("n-gram", "similar line"))
        place = stroke("x = 1\nalpha = ", "beta + gamma", "b.py")
        assert n_gram.complete(place) == "beta + gamma"
        assert similar.complete(place) == ""


def test_each_bundle_of_a_plan_is_typed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path | None, str | None, int | None]] = []
    written: dict[str, Any] = {}

    def played(settings: ReplaySettings, _: object) -> dict[str, Any]:
        assert settings.held_out_by == tmp_path / "bundle"
        asked.append((settings.bundle, settings.since, settings.pace_ms))
        return {"source": "s", "clusters": ["b", "a"], "pace_ms": settings.pace_ms, "runs": [], "seconds": 1}

    own, generic = {"bundle": tmp_path / "bundle"}, {"bundle": tmp_path / "generic"}
    shown = {**own, "as_shown": True}
    repository = a_repository(tmp_path, own=own, shown=shown, **{"the generic": generic}, peer={"gguf": tmp_path})
    for name, value in {
        "run_replay": played,
        "RESULTS": tmp_path,
        "read_bundle": lambda folder, **_: SimpleNamespace(build="b"),
        "print_replay": lambda _: None,
        "write_result": lambda name, document: written.update({name: document}),
    }.items():
        monkeypatch.setattr(keystrokes, name, value)
    keystrokes.type_at(repository, (), 3, "p.json")

    assert sorted(written) == ["replay-r", "replay-r-the-generic"]
    ways = [(since, pace) for since in (None, "HEAD~1") for pace in (None, keystrokes.PACE_MS)]
    assert asked == [(bundle, *way) for bundle in (own["bundle"], generic["bundle"]) for way in ways]


def test_repositories_are_pooled_by_their_keystrokes_and_clusters() -> None:
    def typed(keys: list[int]) -> dict[str, Any]:
        counted = {"keys": keys, "shown": [2, 0, 3], "wrong": [1, 0, 3], "asked": keys, "late": [0, 0, 4]}
        return {"clusters": [0, 1, 0], "at a pace": {"runs": [{}, {"each": {"keys_alone": [10, 10, 40], **counted}}]}}

    one, other = typed([5, 10, 30]), typed([10, 10, 40])
    saved = keystrokes.saved([one, other], "at a pace")
    assert saved.value == pytest.approx(15 / 120)
    assert saved.low < saved.value < saved.high
    assert keystrokes.wrong([one], "at a pace").value == pytest.approx(4 / 5)
    assert keystrokes.count([one, other], "at a pace", "late") == 8
